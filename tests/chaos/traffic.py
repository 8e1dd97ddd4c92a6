"""What is sent: interleaved runs with all that the message contract warns of, from a seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any

from tests.broker.traffic import HOSTILE
from tests.factories import HOST, airflow_event, sns_body

OTHER_HOST = "https://other-airflow.example.org"

#: The hosts of a name's events. One that is empty is an old publisher's.
HOSTS = ((HOST,), (HOST,), (HOST, ""), ("",), (HOST, OTHER_HOST), (HOST, OTHER_HOST, ""))

#: What a task says; then what only an ending run says.
TASK_MESSAGES: tuple[Any, ...] = (
    {"vernacular_version": "466/vernacular_metadata_2026-11-24T05:21:45/"},
    {"content_harvest_success": True, "error": False},
    [{"status": "success", "num_mapped_records": 12, "page_exceptions": {"error": []}}],
    "an error in a bare string is none",
    '{"error": true, "exception": "KeyError: \'isShownAt\'", "traceback": "…"}',
    None,
)
LAST_MESSAGES: tuple[Any, ...] = (
    {"dag_complete": True},
    {"dag_complete": False, "error": True, "reason": "task_failure"},
    {"dag_complete": False},
)


def interleaved(total: int, rng: random.Random) -> tuple[list[str], set[str]]:
    """Return so many bodies, shuffled, and those of them that nobody can understand.

    A tenth are copies, a twentieth can't be understood. Seconds of publication are drawn, so that
    there are ties; a run goes on after its end, now and then.
    """
    n_hostile, n_copies = total // 20, total // 10
    names = [(f"manual__{number:04}", rng.choice(HOSTS)) for number in range(max(6, total // 400))]
    # Recent, so that no run is stale by the true clock.
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
    good = [
        _body(f"message-{number:06}", *rng.choice(names), start, rng)
        for number in range(total - n_hostile - n_copies)
    ]
    kinds = [body for bodies in HOSTILE.values() for body in bodies]
    hostile = [body + " " * (i // len(kinds)) for i, body in enumerate(islice(cycle(kinds), n_hostile))]
    bodies = [*good, *rng.choices(good, k=n_copies), *hostile]
    rng.shuffle(bodies)
    return bodies, set(hostile)


def _body(
    message_id: str, name: str, hosts: tuple[str, ...], start: datetime, rng: random.Random
) -> str:
    last = rng.random() < 0.1
    return sns_body(
        airflow_event(
            dag_run_id=name,
            host=rng.choice(hosts) or ...,
            rikolti_message=rng.choice(LAST_MESSAGES if last else TASK_MESSAGES),
        ),
        message_id=message_id,
        at=start + timedelta(seconds=rng.randrange(600)),
    )
