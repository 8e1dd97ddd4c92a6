"""A deploy finds messages on the queue that the version before put there: each still does its work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_app import app
from harvest import readings
from harvest.models import HarvestRun, RejectedMessage
from tests.compat.wire import PK, PUBLISH, Wire, memory, recorded
from tests.factories import make_run, message

#: In transactions of its own, as in a worker, which looks after its connection before each task.
pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = recorded()

#: What each task returns in the world below, as Celery writes it down.
RESULTS = {
    "harvest.record_event": r"\d+",
    "harvest.recompute_run_status": "'run 1: running'",
    "harvest.reconcile_runs": "'1 run to look at'",
    "harvest.reconcile_run": "'run 1: .+'",
    "harvest.backfill_runs": "'0 windows to list'",
    "harvest.backfill_window": "'https://airflow.example.org is not configured'",
    "harvest.read_queues": "'read'",
    "harvest.redrive": "'redrive 1: slice 0 was done already'",
    "harvest.tell": "'.*'",
    "harvest.deliver_notice": "'notice 1: .+'",
    "harvest.prune": "'nothing is old'",
    "harvest.replay_rejected": "'1 recorded'",
}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with memory() as wire:
        monkeypatch.setattr(app, "producer_or_acquire", wire.producer)
        yield wire


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that the messages name, and queues that are not asked."""
    make_run(pk=PK)
    make_rejected()
    monkeypatch.setattr(readings, "read_queues", lambda now: "read")


def make_rejected() -> None:
    one = message(message_id="rejected before", dag_run_id="of a rejected message")
    RejectedMessage.objects.create(
        pk=PK,
        digest="1",
        **RejectedMessage.store_body(one.body),
        reason="fault",
        sqs_message=one.envelope(),
        sent_at=one.sent_at,
        first_seen_at=one.sent_at,
        last_seen_at=one.sent_at,
    )


def is_harvest(name: str) -> bool:
    return name.startswith("harvest.")


def test_every_task_has_a_recorded_message() -> None:
    names = {payload["headers"]["task"] for payload in MESSAGES.values()}

    assert {name for name in app.tasks if is_harvest(name)} == set(PUBLISH) == names


@pytest.mark.parametrize(("name", "publish"), PUBLISH.items(), ids=PUBLISH)
def test_what_is_published_has_a_recorded_form(
    wire: Wire, name: str, publish: Callable[[], Any]
) -> None:
    publish()
    (payload,) = wire.take()

    known = [wire.form(one) for one in MESSAGES.values() if one["headers"]["task"] == name]
    assert wire.form(payload) in known, "run python -m tests.compat.record, and keep the earlier files"


@pytest.mark.parametrize("name", MESSAGES)
def test_recorded_message_does_its_work(wire: Wire, name: str) -> None:
    result = wire.deliver(MESSAGES[name])

    assert re.fullmatch(RESULTS[MESSAGES[name]["headers"]["task"]], result)


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("record_event")])
def test_recorded_chain_ends_the_run(wire: Wire, name: str) -> None:
    wire.deliver(MESSAGES[name])
    (following,) = wire.take()

    wire.deliver(following)

    run = HarvestRun.objects.exclude(pk=PK).get()
    assert (run.status, run.events.count()) == ("succeeded", 2)


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("record_event")])
def test_recorded_chain_twice_is_once(wire: Wire, name: str) -> None:
    for _ in range(2):
        wire.deliver(MESSAGES[name])
    first, second = wire.take()
    wire.deliver(first)
    wire.deliver(second)

    assert HarvestRun.objects.exclude(pk=PK).get().events.count() == 2


def test_form_tells_a_change(wire: Wire) -> None:
    payload = MESSAGES["reconcile_run-1"]
    other = {**payload, "headers": {**payload["headers"], "task": "harvest.other"}}

    assert wire.form(payload) == wire.form({**payload, "properties": {**payload["properties"], "x": 1}})
    assert wire.form(payload) != wire.form(other)
