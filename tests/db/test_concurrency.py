"""Several processes at once: here threads, each with a connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from harvest import delivery, news, recording, telling
from harvest.models import HarvestEvent, HarvestRun, Notice, RejectedMessage, RunChange
from harvest.reconcile import look_at
from harvest.recording import Recorded
from harvest.sns import SqsMessage
from tests import factories
from tests.factories import complete, message, sqs_message, task_error

pytestmark = pytest.mark.django_db(transaction=True)

H1, H2 = "https://h1.example.org", "https://h2.example.org"


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Do all jobs at the same moment. Return their results, or raise what one of them raised."""
    barrier = Barrier(len(jobs), timeout=30)

    def do(job: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait()
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(do, job) for job in jobs]]


def recorder(messages: Sequence[SqsMessage]) -> Callable[[], Recorded]:
    """Return the job of a chain of tasks."""

    def job() -> Recorded:
        result = recording.record(messages)
        if result.run_id is not None:
            recording.recompute(result.run_id)
        return result

    return job


def events_of(run: HarvestRun) -> list[str]:
    return sorted(run.events.values_list("message_id", flat=True))


@pytest.mark.parametrize("attempt", range(3))
def test_same_events_of_a_new_run_at_once(attempt: int) -> None:
    messages = [message(message_id=f"{index:02}", seconds=index) for index in range(10)]
    job = recorder([*messages, complete(message_id="10", seconds=10)])

    results = at_once(job, job, job, job)

    run = HarvestRun.objects.get()
    assert events_of(run) == [f"{index:02}" for index in range(11)]
    assert run.status == HarvestRun.Status.SUCCEEDED
    assert run.recompute_due_at is None
    assert sum(result.recorded for result in results) == 11
    assert sum(result.duplicates for result in results) == 33


@pytest.mark.parametrize("host", [H1, ""], ids=["host", "no host"])
def test_other_events_of_a_new_run_at_once(host: str) -> None:
    parts = [
        [message(message_id=f"{part}-{index}", seconds=index, host=host) for index in range(5)]
        for part in range(4)
    ]
    parts[2].append(complete(message_id="end", seconds=60, host=host))

    results = at_once(*(recorder(part) for part in parts))

    run = HarvestRun.objects.get()
    assert len(events_of(run)) == 21
    assert sum(result.recorded for result in results) == 21
    assert run.status == HarvestRun.Status.SUCCEEDED


@pytest.mark.parametrize("attempt", range(3))
def test_events_with_and_without_host_of_a_new_run_at_once(attempt: int) -> None:
    hosted = [message(message_id=f"h{index}", host=H1) for index in range(3)]
    hostless = [message(message_id=f"n{index}", host=...) for index in range(3)]

    at_once(*(recorder([received]) for received in [*hosted, *hostless]))

    run = HarvestRun.objects.get()
    assert run.host == H1
    assert events_of(run) == ["h0", "h1", "h2", "n0", "n1", "n2"]


@pytest.mark.parametrize("attempt", range(3))
def test_events_of_two_hosts_and_none_at_once(attempt: int) -> None:
    jobs = [
        recorder([message(message_id="a0", host=H1), message(message_id="a1", host=H1)]),
        recorder([message(message_id="b0", host=H2), message(message_id="b1", host=H2)]),
        recorder([message(message_id="c0", host=...)]),
        recorder([message(message_id="c1", host=...)]),
        recorder([message(message_id="a1", host=H1), complete(message_id="a2", host=H1, seconds=1)]),
        recorder([task_error(message_id="c2", host=..., seconds=2)]),
    ]

    at_once(*jobs)

    assert {run.host: events_of(run) for run in HarvestRun.objects.all()} == {
        H1: ["a0", "a1", "a2"],
        H2: ["b0", "b1"],
        "": ["c0", "c1", "c2"],
    }
    assert dict(HarvestRun.objects.values_list("host", "status")) == {
        H1: "succeeded",
        H2: "running",
        "": "failed",
    }


def test_events_of_other_runs_at_once() -> None:
    jobs = [
        recorder([message(dag_run_id=f"manual__{run}", map_index=index) for index in range(5)])
        for run in range(6)
    ]

    at_once(*jobs)

    assert HarvestRun.objects.count() == 6
    assert HarvestEvent.objects.count() == 30


def test_recompute_and_record_at_once_forget_no_event() -> None:
    run_id = recording.record([message(message_id="first")]).run_id
    assert run_id is not None

    def recompute() -> None:
        for _ in range(10):
            recording.recompute(run_id)

    def sweep() -> None:
        for _ in range(10):
            look_at(run_id)

    def record() -> None:
        for index in range(10):
            recorder([message(message_id=f"{index}", seconds=index)])()

    at_once(recompute, sweep, record, recorder([complete(message_id="end", seconds=60)]))

    run = HarvestRun.objects.get()
    assert run.events.count() == 12
    # An event whose recompute came before it was recorded leaves the mark for the next one.
    assert run.recompute_due_at is None
    assert run.status == HarvestRun.Status.SUCCEEDED


def test_person_and_record_at_once_lose_neither() -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    run_id = recording.record([message(message_id="first", at=hour_ago)]).run_id
    assert run_id is not None

    def decide() -> None:
        recording.set_status(run_id, HarvestRun.Status.FAILED, "lost")

    at_once(decide, *(recorder([message(message_id=f"{n}", at=hour_ago)]) for n in range(3)))

    run = HarvestRun.objects.get()
    assert run.events.count() == 4
    assert (run.status, run.status_note) == (HarvestRun.Status.FAILED, "lost")


def test_same_bad_message_at_once_is_kept_once_and_counted() -> None:
    job = recorder([sqs_message("not JSON")] * 5)

    at_once(job, job, job, job)

    assert RejectedMessage.objects.get().times_seen == 20


def test_failure_considered_by_several_at_once_is_told_once() -> None:
    """Two changes to the same standing, and two tasks that tell."""
    factories.make_subscription()
    run = factories.make_run(status="failed", last_heard_at=timezone.now())
    for _ in range(2):
        RunChange.objects.create(
            harvest_run=run, kind="failed", source="events", changed_at=timezone.now()
        )
    now = timezone.now() + news.SETTLE
    people = telling.subscribers()
    first, second = telling.due_changes(now)

    def job(*change_ids: int) -> Callable[[], list[Any]]:
        return lambda: [telling.consider(change_id, now, people) for change_id in change_ids]

    told = at_once(job(first, second), job(second, first), job(first, second), job(second, first))

    assert [kind for kinds in told for kind in kinds if kind] == [news.Kind.FAILED]
    assert Notice.objects.count() == 1


def test_notice_taken_by_several_at_once_is_attempted_once() -> None:
    notice = factories.make_notice(factories.make_subscription())

    taken = at_once(*[lambda: delivery.take_due(timezone.now())] * 4)
    sent = at_once(*[lambda: delivery.deliver(notice.pk, 0)] * 4)

    assert [one for each in taken for one in each] == [(notice.pk, 0)]
    assert sorted(sent) == ["done already"] * 3 + ["sent"]
