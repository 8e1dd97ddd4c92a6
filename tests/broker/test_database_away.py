"""PostgreSQL refuses, falls silent, or is locked by another: no task multiplies, none is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import transaction
from django_celery_results.models import TaskResult

from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.provision import TASKS
from tests.broker.clock import Clock
from tests.broker.processes import Processes, database_url, wait_until
from tests.broker.proxy import DatabaseProxy
from tests.broker.test_pipeline import all_done
from tests.broker.wire import Wire
from tests.environment import TEMPORARY
from tests.factories import airflow_event

EVENTS = 5

#: Longer than any of these outages: a copy of a task is then a copy that we made.
VISIBILITY_TIMEOUT = 300


@pytest.fixture
def proxy(processes: Processes, wire: Wire) -> Iterator[DatabaseProxy]:
    wire.renew(VISIBILITY_TIMEOUT)
    with closing(DatabaseProxy(database_url())) as proxy:
        yield proxy


def publish(wire: Wire) -> None:
    for number in range(EVENTS):
        wire.publish(airflow_event(dag_run_id=f"run {number}", rikolti_message={"secret": "words"}))


def largest_depth(wire: Wire, seconds: float) -> int:
    """Watch the task queue for a while, and return the most messages that it held."""
    end = time.monotonic() + seconds
    depths = [0]
    while time.monotonic() < end:
        depths.append(wire.depths()[TASKS])
        time.sleep(0.2)
    return max(depths)


def assert_all_is_well(wire: Wire) -> None:
    assert HarvestEvent.objects.count() == EVENTS
    assert HarvestRun.objects.filter(status="running").count() == EVENTS
    assert not RejectedMessage.objects.exists()
    assert wire.is_empty()


def test_refused_database_multiplies_no_task(
    processes: Processes, wire: Wire, proxy: DatabaseProxy
) -> None:
    worker = processes.worker(DATABASE_URL=proxy.url)

    proxy.refuse()
    publish(wire)
    worker.wait_for("result_not_stored")
    most = largest_depth(wire, seconds=10)
    proxy.let_through()
    wait_until(lambda: all_done(wire), "empty queues")

    # A task and its retries are there together for a moment, until those before are deleted: the first
    # tries follow each other at once. Were each try to leave two, ten seconds would make hundreds.
    assert EVENTS <= most <= 4 * EVENTS
    assert worker.is_alive
    assert_all_is_well(wire)
    recorded = TaskResult.objects.filter(task_name="harvest.record_event")
    arguments = " ".join(recorded.values_list("task_args", flat=True))
    assert "1 message of harvest_collection run" in arguments
    assert "secret" not in arguments


def test_retry_of_a_worker_whose_clock_was_ahead_does_not_wait_for_that_time(
    processes: Processes, wire: Wire, proxy: DatabaseProxy
) -> None:
    clock = Clock(TEMPORARY / "clock")
    clock.jump(50)
    worker = processes.worker(ready=True, DATABASE_URL=proxy.url, **clock.variables)

    proxy.refuse()
    publish(wire)
    worker.wait_for("result_not_stored")
    clock.put_right()
    proxy.let_through()
    wait_until(lambda: all_done(wire), "empty queues")

    assert_all_is_well(wire)


def test_silent_database_ends_no_worker(processes: Processes, wire: Wire, proxy: DatabaseProxy) -> None:
    worker = processes.worker(DATABASE_URL=proxy.url)

    proxy.fall_silent()
    publish(wire)
    worker.wait_for("connection timeout expired")
    proxy.let_through()
    wait_until(lambda: all_done(wire), "empty queues")

    assert worker.is_alive
    assert "Unrecoverable" not in worker.log
    assert_all_is_well(wire)


def test_run_that_another_locks_loses_no_event(
    processes: Processes, wire: Wire, proxy: DatabaseProxy
) -> None:
    wire.publish(airflow_event(dag_run_id="run 0"))
    worker = processes.worker(DATABASE_URL=proxy.url)
    wait_until(lambda: all_done(wire), "the first event")

    with transaction.atomic():
        HarvestRun.objects.select_for_update().get()
        wire.publish(airflow_event(dag_run_id="run 0"))
        worker.wait_for("lock timeout")
    wait_until(lambda: all_done(wire), "the second event")

    assert HarvestEvent.objects.count() == 2
    assert not RejectedMessage.objects.exists()
