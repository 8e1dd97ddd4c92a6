"""What is sent: interleaved runs with all that the message contract warns of, from a seed."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any

from tests.broker.traffic import HOSTILE
from tests.chaos.counter import status_of
from tests.factories import HOST, airflow_event, sns_body
from tests.signatures import signed_body, sns_key

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


def interleaved(n_events: int, rng: random.Random) -> tuple[list[str], set[str]]:
    """Return the bodies of so many events and some more, shuffled, and those that nobody can understand.

    For ten events there is a copy of one; for twenty, a body that can't be understood. Seconds of
    publication are drawn, so that there are ties; a run goes on after its end, now and then.
    """
    n_hostile, n_copies = n_events // 20, n_events // 10
    names = [(f"manual__{number:04}", rng.choice(HOSTS)) for number in range(max(6, n_events // 400))]
    # Recent, so that no run is stale by the true clock.
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
    good = [_body(f"message-{number:06}", *rng.choice(names), start, rng) for number in range(n_events)]
    kinds = [body for bodies in HOSTILE.values() for body in bodies]
    hostile = [body + " " * (i // len(kinds)) for i, body in enumerate(islice(cycle(kinds), n_hostile))]
    bodies = [*good, *rng.choices(good, k=n_copies), *hostile]
    rng.shuffle(bodies)
    return bodies, set(hostile)


def signed(bodies: list[str], hostile: set[str], rng: random.Random) -> tuple[list[str], set[str]]:
    """Return the same as SNS signs it, and beside a tenth of the events what somebody else signed: under
    the same id it says another outcome, and that it is the newest. Nobody must believe it."""
    forger = sns_key(which="somebody's")
    events = [body for body in dict.fromkeys(bodies) if body not in hostile]
    by_sns = {body: signed_body(body) for body in events}
    sample = rng.sample(events, len(events) // 10)
    forged = {signed_body(_otherwise(body, rng), key=forger) for body in sample}
    sent = [*(by_sns.get(body, body) for body in bodies), *sorted(forged)]
    rng.shuffle(sent)
    return sent, hostile | forged


def _otherwise(body: str, rng: random.Random) -> str:
    """Return an event's body with another outcome, published after all the others."""
    envelope = json.loads(body)
    event = json.loads(envelope["Message"])
    status = status_of(event["rikolti_message"])
    others = [message for message in LAST_MESSAGES if status_of(message) != status]
    return sns_body(
        {**event, "rikolti_message": rng.choice(others)},
        message_id=envelope["MessageId"],
        at=datetime.fromisoformat(envelope["Timestamp"]) + timedelta(hours=1),
    )


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
