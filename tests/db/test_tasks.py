"""The tasks, called where they stand: tests/broker has them in a worker."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from celery import Task
from celery.signals import task_prerun
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from pytest_django import Settings
from structlog.contextvars import clear_contextvars

from harvest import airflow, reconcile, recording, tasks
from harvest.batching import group_by_run
from harvest.models import HarvestRun, RejectedMessage
from harvest.recording import Recorded
from tests.factories import complete, failed, message, sqs_message
from tests.logged import entries

pytestmark = pytest.mark.django_db

ALL = (
    tasks.record_event,
    tasks.recompute_run_status,
    tasks.reconcile_runs,
    tasks.reconcile_run,
    tasks.tell,
    tasks.deliver_notice,
)


def test_record_event_then_recompute_run_status() -> None:
    arguments = json.loads(json.dumps([message().to_task(), complete(seconds=1).to_task()]))

    run_id = tasks.record_event(arguments)

    assert tasks.recompute_run_status(run_id) == f"run {run_id}: succeeded"
    assert HarvestRun.objects.get(pk=run_id).events.count() == 2


def test_record_event_of_bad_messages_alone() -> None:
    run_id = tasks.record_event([sqs_message("not JSON").to_task()])

    assert run_id is None
    assert tasks.recompute_run_status(run_id) == "no run: see the rejected messages"
    assert RejectedMessage.objects.count() == 1


def test_recompute_run_status_of_a_run_that_is_gone() -> None:
    assert tasks.recompute_run_status(0) == "run 0: gone"


def test_reconcile_runs_has_each_run_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(tasks.reconcile_run, "delay", sent.append)
    silent = tasks.record_event([message(at=timezone.now() - timedelta(hours=7)).to_task()])
    tasks.record_event([message(at=timezone.now(), dag_run_id="well").to_task()])

    assert tasks.reconcile_runs() == "1 run to look at"
    assert sent == [silent]


def test_reconcile_run_says_what_it_found() -> None:
    run_id = tasks.record_event([message(at=timezone.now() - timedelta(hours=7)).to_task()])

    assert tasks.reconcile_run(run_id).startswith(f"run {run_id}: stale since ")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_record_event_is_repeated_until_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    outcomes: list[Any] = [error("away")] * 12 + [Recorded(run_id=7)]

    def record(messages: object) -> Recorded:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Recorded)
        return outcome

    monkeypatch.setattr("harvest.recording.record", record)

    result = tasks.record_event.apply(args=([message().to_task()],))

    assert result.successful()
    assert result.result == 7
    assert outcomes == []


def test_record_event_is_not_repeated_for_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(messages: Any) -> Recorded:
        raise ValueError("a fault")

    monkeypatch.setattr("harvest.recording.record", fail)

    result = tasks.record_event.apply(args=([message().to_task()],))

    assert result.failed()
    assert isinstance(result.result, ValueError)


def test_record_event_records_what_an_older_consumer_could_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It packs such messages together: the worker that can read them finds events of several runs."""
    of_the_next_version = [message(dag_run_id=run, version="2.0") for run in "abc"]
    (batch,) = group_by_run([*of_the_next_version, sqs_message("not JSON")])
    monkeypatch.setattr(airflow, "_VERSIONS", ("1.0", 1.0, "2.0"))

    run_id = tasks.record_event([each.to_task() for each in batch.messages])
    told = tasks.recompute_run_status(run_id)

    runs = HarvestRun.objects.order_by("dag_run_id")
    assert [(run.dag_run_id, run.recompute_due_at) for run in runs] == [(run, None) for run in "abc"]
    assert told == f"run {runs[2].pk}: running"
    assert RejectedMessage.objects.count() == 1


def test_fault_with_one_run_of_several_leaves_it_to_the_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(run_id: int) -> None:
        if HarvestRun.objects.get(pk=run_id).dag_run_id == "b":
            raise ZeroDivisionError("a planted fault")
        recording.recompute(run_id)

    with monkeypatch.context() as faulty:
        faulty.setattr("harvest.recording.several.recompute", stumble)
        tasks.record_event([failed(dag_run_id=run).to_task() for run in "abc"])

    told = HarvestRun.objects.order_by("dag_run_id").values_list("dag_run_id", "status")
    assert list(told) == [("a", "failed"), ("b", "running"), ("c", "failed")]
    left = HarvestRun.objects.get(dag_run_id="b")
    assert [entry["run_id"] for entry in entries(caplog, "run_not_recomputed")] == [left.pk]

    assert left.pk in reconcile.due_runs(timezone.now() + timedelta(hours=1))
    tasks.reconcile_run(left.pk)
    left.refresh_from_db()
    assert left.status == "failed"


def test_record_event_of_several_runs_none_of_which_can_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("harvest.recording.events._store", fail)

    run_id = tasks.record_event([message(dag_run_id=run).to_task() for run in "ab"])

    assert run_id is None
    assert RejectedMessage.objects.filter(reason="fault").count() == 2


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_task_leaves_the_queue_when_it_has_ended(task: Task[Any, Any]) -> None:
    assert task.acks_late
    assert task.reject_on_worker_lost
    assert not task.acks_on_failure_or_timeout
    assert task.max_retries is None


def test_worker_forgets_the_queries_of_the_task_before(settings: Settings) -> None:
    settings.DEBUG = True
    HarvestRun.objects.exists()
    assert connection.queries

    task_prerun.send(tasks.reconcile_runs)
    clear_contextvars()  # it also names the task in what is logged

    assert connection.queries == []
