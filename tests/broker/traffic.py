"""What goes over the wire in these tests: runs, copies, and bodies that nobody can understand."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.factories import HOST, START, airflow_event, sns_body

#: For each kind of body that can't be understood: the reason it is kept with.
HOSTILE = {
    "not_json": (
        "this is not JSON",
        "x" * 200_000,
        "aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxk",  # looks like base64, and is
        '{"dag_id": NaN}',
        json.dumps({"a": 1})[:-1],
    ),
    "missing_key": (
        json.dumps({"properties": {"delivery_info": {}, "body_encoding": "base64"}, "body": "!"}),
        json.dumps({"properties": "x"}),
        json.dumps(airflow_event(dag_run_id=...)),
        json.dumps(airflow_event(dag_run_id="")),
    ),
    "bad_date": (
        json.dumps(airflow_event(logical_date="the day before yesterday")),
        json.dumps(airflow_event(logical_date="2026-11-24T05:21:34")),
    ),
    "bad_string": (json.dumps(airflow_event(dag_run_id="manual\x00run")),),
    "unreasonable": ("[" * 50_000 + "]" * 50_000, "1" * 5_000),
    "not_an_object": ('["an", "array"]', '"a string"'),
    "wrong_type": (json.dumps(airflow_event(try_number="one")),),
}


@dataclass(frozen=True)
class Traffic:
    """Bodies in the order in which they are sent, and what must come of them."""

    bodies: list[str]
    #: message id → run id, of every event that is sent at least once.
    events: dict[str, str]
    #: body → reason, of every body that can't be understood.
    rejected: dict[str, str]
    #: run id → status, by the status rule.
    statuses: dict[str, str]


def mixed(total: int, *, runs: int = 40, seed: int = 1) -> Traffic:
    """Return so many bodies of interleaved runs: a tenth are copies, a twentieth can't be understood.

    Every other run ends well, every fourth fails, and the rest go on running.
    """
    rng = random.Random(seed)
    n_rejected, n_copies = total // 20, total // 10
    n_events = total - n_rejected - n_copies
    per_run = Counter(i % runs for i in range(n_events))

    good: list[str] = []
    events: dict[str, str] = {}
    statuses: dict[str, str] = {}
    for run, count in per_run.items():
        run_id = f"manual__{run:04}"
        for index in range(count):
            message_id = f"{run:04}-{index:06}"
            last = index == count - 1
            message, statuses[run_id] = _message(run, index, last=last)
            events[message_id] = run_id
            good.append(
                sns_body(
                    airflow_event(dag_run_id=run_id, host=HOST, rikolti_message=message),
                    message_id=message_id,
                    at=START + timedelta(seconds=index),
                )
            )

    kinds = [(body, reason) for reason, bodies in HOSTILE.items() for body in bodies]
    rejected = {
        (body + " " * (i // len(kinds))): reason
        for i, (body, reason) in zip(range(n_rejected), _repeat(kinds), strict=False)
    }
    bodies = [*good, *rng.sample(good, n_copies), *rejected]
    rng.shuffle(bodies)
    assert len(bodies) == total
    return Traffic(bodies, events, rejected, statuses)


def _message(run: int, index: int, *, last: bool) -> tuple[Any, str]:
    if last and run % 2 == 0:
        return {"dag_complete": True}, "succeeded"
    if last and run % 4 == 1:
        return {"dag_complete": False, "error": True, "reason": "task_failure"}, "failed"
    return {"num_items": index}, "running"


def _repeat(items: list[tuple[str, str]]) -> Any:
    while True:
        yield from items
