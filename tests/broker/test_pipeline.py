"""The whole path on the real wire: topic → queue → worker → tables."""

from __future__ import annotations

import random
from collections import defaultdict
from urllib.request import urlopen

from django.db.models import Sum
from django_celery_results.models import TaskResult
from prometheus_client.parser import text_string_to_metric_families

from harvest import taskids
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage, RunChange
from harvest.tasks import reconcile_run
from tests.broker.processes import Process, Processes, wait_until
from tests.broker.traffic import Traffic, mixed
from tests.broker.wire import Wire
from tests.environment import free_port
from tests.factories import airflow_event, make_collection

#: What no worker may say while it does its work.
ALARMS = ("Traceback", "CRITICAL", "database is locked", "deadlock", "Unrecoverable")


def all_done(wire: Wire) -> bool:
    """Return whether everything that was sent has been taken in, and shows in the statuses."""
    return wire.is_empty() and not HarvestRun.objects.filter(recompute_due_at__isnull=False).exists()


def assert_end_state(traffic: Traffic) -> None:
    """Hold the tables against what was sent, event by event and body by body."""
    stored = HarvestEvent.objects.values_list("message_id", "harvest_run__dag_run_id")
    assert sorted(stored) == sorted(traffic.events.items())
    statuses = HarvestRun.objects.values_list("dag_run_id", "status")
    assert dict(statuses) == traffic.statuses
    assert len(statuses) == len(traffic.statuses)
    rejected = {message.whole_body: message.reason for message in RejectedMessage.objects.all()}
    assert rejected == traffic.rejected


def assert_calm(worker: Process) -> None:
    """The worker is still the one that was started, and nothing alarmed it."""
    assert worker.is_alive
    assert [alarm for alarm in ALARMS if alarm in worker.log] == []


def test_run_that_goes_well(processes: Processes, wire: Wire) -> None:
    collection = make_collection(27551)
    worker = processes.worker()

    wire.publish(airflow_event())
    wait_until(HarvestRun.objects.filter(status="running").exists, "a running run")
    wire.publish(airflow_event(rikolti_message={"dag_complete": True}))
    wait_until(HarvestRun.objects.filter(status="succeeded").exists, "the run's success")

    run = HarvestRun.objects.get()
    assert run.collection == collection
    assert run.events.count() == 2
    wait_until(lambda: all_done(wire), "empty queues")
    worker.wait_for("setting_doubtful")  # of a queue that hides tasks as briefly as a test needs it
    assert_calm(worker)


def test_task_results_can_be_read(processes: Processes, wire: Wire) -> None:
    processes.worker()

    wire.publish(airflow_event(rikolti_message={"secret": "of the body"}))
    wait_until(lambda: TaskResult.objects.filter(status="SUCCESS").count() == 2, "two results")

    run = HarvestRun.objects.get()
    recorded = TaskResult.objects.get(task_name="harvest.record_event")
    assert recorded.task_args == f'"(1 message of {run.dag_id} {run.dag_run_id})"'
    assert "secret" not in recorded.task_args + recorded.task_kwargs
    assert recorded.result == str(run.pk)
    recomputed = TaskResult.objects.get(task_name="harvest.recompute_run_status")
    assert recomputed.task_args == f'"({run.pk},)"'
    assert recomputed.result == f'"run {run.pk}: running"'

    reconcile_run.delay(run.pk)
    wait_until(lambda: TaskResult.objects.filter(status="SUCCESS").count() == 3, "a third result")
    ranges = taskids.ranges(run.pk, run.dag_id, run.dag_run_id)
    for task_id in TaskResult.objects.values_list("task_id", flat=True):
        assert any(low <= task_id < high for low, high in ranges)


def test_2000_messages_with_copies_and_bodies_that_nobody_understands(
    processes: Processes, wire: Wire
) -> None:
    traffic = mixed(2_000)
    wire.renew(60)  # nothing is to be delivered again: that would be counted, too
    port = free_port()
    worker = processes.start(
        "python", "-m", "avram", "worker", METRICS_ADDRESS=f"127.0.0.1:{port}", WORKER_CONCURRENCY="2"
    )

    wire.send(traffic.bodies)
    wait_until(lambda: all_done(wire), "empty queues")

    assert_end_state(traffic)
    assert_calm(worker)
    assert_counted(traffic, f"http://127.0.0.1:{port}/metrics")
    assert worker.terminate() == 0


def assert_counted(traffic: Traffic, url: str) -> None:
    """Hold what the worker tells Prometheus, its processes added up, against what was sent."""

    def told() -> dict[str, float]:
        with urlopen(url, timeout=10) as response:
            families = text_string_to_metric_families(response.read().decode())
            samples = [sample for family in families for sample in family.samples]
        found: dict[str, float] = defaultdict(float)
        for sample in samples:
            found[" ".join((sample.name, sample.labels.get("outcome", "")))] += sample.value
        return found

    chains = "avram_chains_published_total "
    done = "avram_tasks_total succeeded"  # by two tasks of each chain
    wait_until(lambda: told()[done] == 2 * told()[chains], "the end of the last task")
    found = told()
    seen = RejectedMessage.objects.aggregate(seen=Sum("times_seen"))["seen"]
    assert found["avram_events_received_total "] == len(traffic.bodies)
    assert found["avram_events_recorded_total "] == len(traffic.events) == HarvestEvent.objects.count()
    assert found["avram_event_lag_seconds_count "] == len(traffic.events)
    assert found["avram_messages_rejected_total "] == len(traffic.rejected) == seen
    assert found["avram_events_duplicate_total "] == (
        len(traffic.bodies) - len(traffic.events) - len(traffic.rejected)
    )
    assert found["avram_run_changes_total "] == RunChange.objects.count()
    assert found["avram_tasks_total retried"] == found["avram_tasks_total failed"] == 0


def test_same_messages_again_change_nothing(processes: Processes, wire: Wire) -> None:
    traffic = mixed(200)
    processes.worker()
    wire.send(traffic.bodies)
    wait_until(lambda: all_done(wire), "empty queues")
    before = list(HarvestEvent.objects.order_by("pk").values())

    wire.send(random.Random(2).sample(traffic.bodies, len(traffic.bodies)))
    wait_until(lambda: all_done(wire), "empty queues")

    assert list(HarvestEvent.objects.order_by("pk").values()) == before
    assert_end_state(traffic)


def test_killed_three_times_in_the_middle(processes: Processes, wire: Wire) -> None:
    traffic = mixed(2_000)
    worker = processes.worker()

    wire.send(traffic.bodies[:500])
    for third in range(3):
        stored = HarvestEvent.objects.count()
        wire.send(traffic.bodies[500 * (third + 1) : 500 * (third + 2)])
        wait_until(lambda: HarvestEvent.objects.count() > stored, "more events")  # noqa: B023
        assert not wire.is_empty(), "killed too late to show anything"
        worker.kill()
        worker = processes.worker()
    wait_until(lambda: all_done(wire), "empty queues")

    assert_end_state(traffic)


def test_two_workers_on_one_queue(processes: Processes, wire: Wire) -> None:
    traffic = mixed(2_000)
    workers = [processes.worker("one", ready=False), processes.worker("two", ready=False)]
    for worker in workers:
        worker.wait_for("ready.")

    wire.send(traffic.bodies)
    wait_until(lambda: all_done(wire), "empty queues")

    assert_end_state(traffic)
    for worker in workers:
        assert_calm(worker)
