"""What happens to a worker when the world around it comes and goes."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import stat
import struct
import termios
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from harvest.models import HarvestEvent, HarvestRun
from harvest.provision import EVENTS, TASKS
from harvest.tasks import recompute_run_status
from local.servers import local_aws
from tests.broker.clock import Clock
from tests.broker.conftest import VISIBILITY_TIMEOUT
from tests.broker.processes import Process, Processes, wait_until
from tests.broker.test_pipeline import all_done, assert_calm, assert_end_state
from tests.broker.traffic import mixed
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port
from tests.factories import airflow_event, make_run, sns_body


def sweep_every_second() -> None:
    every_second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    PeriodicTask.objects.update_or_create(
        name="reconcile_runs",
        defaults={"task": "harvest.reconcile_runs", "interval": every_second, "enabled": True},
    )
    PeriodicTasks.update_changed()


def test_worker_waits_for_absent_queues(processes: Processes, wire: Wire) -> None:
    wire.remove_queues()
    worker = processes.worker()
    worker.wait_for("events_queue_unreachable")
    worker.wait_for("task_queue_unreachable")

    wire.renew(VISIBILITY_TIMEOUT)
    wire.publish(airflow_event())

    wait_until(HarvestEvent.objects.exists, "the event")
    assert worker.is_alive


def test_worker_survives_loss_of_aws(processes: Processes, wire: Wire) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    own = Wire(endpoint)
    log = TEMPORARY / "aws-that-goes.log"
    with local_aws(port, log):
        own.renew(VISIBILITY_TIMEOUT)
        worker = processes.worker(
            AWS_ENDPOINT_URL=endpoint,
            RIKOLTI_EVENTS_QUEUE_URL=own.url(EVENTS),
            AVRAM_TASKS_QUEUE_URL=own.url(TASKS),
        )
        own.publish(airflow_event(dag_run_id="before"))
        wait_until(HarvestRun.objects.filter(dag_run_id="before").exists, "the run before")

    worker.wait_for("events_queue_unreachable")
    worker.wait_for("task_queue_unreachable")

    with local_aws(port, log):
        own.renew(VISIBILITY_TIMEOUT)
        own.publish(airflow_event(dag_run_id="after"))
        wait_until(HarvestRun.objects.filter(dag_run_id="after").exists, "the run after")
        assert worker.is_alive
        worker.terminate()


def test_terminated_worker_leaves_nothing_undone(processes: Processes, wire: Wire) -> None:
    traffic = mixed(1_000)
    worker = processes.worker()

    wire.send(traffic.bodies)
    wait_until(HarvestEvent.objects.exists, "the first event")
    code = worker.terminate()
    log = worker.log
    processes.worker("two")
    wait_until(lambda: all_done(wire), "empty queues")

    assert code == 0
    assert "consumer_stopped" in log
    assert "Traceback" not in log
    assert_end_state(traffic)


def unread(pids: Iterable[int]) -> int:
    """Return how many bytes wait in the pipes that processes read."""
    return sum(map(_unread, pids))


def _unread(pid: int) -> int:
    result = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        if str(file.readlink()).startswith("pipe:") and file.lstat().st_mode & stat.S_IRUSR:
            pipe = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
            result += struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
            os.close(pipe)
    return result


def signal_children(worker: Process, number: int) -> None:
    for child in worker.children:
        os.kill(child, number)


@pytest.fixture
def deaf_worker(processes: Processes, wire: Wire) -> Process:
    """A worker whose two processes take nothing that they are sent, until they are told to go on."""
    wire.renew(300)  # what it has comes to nobody else meanwhile
    worker = processes.worker()
    signal_children(worker, signal.SIGSTOP)
    return worker


def send_to(worker: Process, wire: Wire, run: str, size: int) -> None:
    """Publish an event, of which the worker sends a task to a process that has nothing yet."""
    before = unread(worker.children)
    noise = random.Random(1).randbytes(size).hex() * 5
    wire.send([sns_body(airflow_event(dag_run_id=run, rikolti_message=noise))])
    wait_until(lambda: unread(worker.children) > before, "a task in a pipe")


#: Of an event: what fits into a pipe of 64 KB, and what doesn't.
SMALL, LARGE = 10, 20_000


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_terminated_worker_hears_of_a_task_that_was_on_its_way(
    deaf_worker: Process, wire: Wire, size: int
) -> None:
    """The task is done and acknowledged by the worker that has it, and is not left to the next."""
    send_to(deaf_worker, wire, "one", size)
    send_to(deaf_worker, wire, "two", size)

    os.kill(deaf_worker.pid, signal.SIGTERM)
    deaf_worker.wait_for("Warm shutdown")
    # Its task wakes the worker's loop, which ends.
    wire.send([sns_body(airflow_event(dag_run_id="three"))])
    deaf_worker.wait_for("dag_run_id=three ")
    time.sleep(2)  # in which it would forget the others
    signal_children(deaf_worker, signal.SIGCONT)

    assert deaf_worker.wait() == 0
    assert HarvestEvent.objects.count() == 2
    assert wire.depths()[TASKS] == 3, "what comes next in two chains, and the third"


@pytest.mark.parametrize("dies", [False, True])
def test_worker_ends_though_a_process_takes_nothing(
    deaf_worker: Process, processes: Processes, wire: Wire, *, dies: bool
) -> None:
    send_to(deaf_worker, wire, "one", LARGE)

    os.kill(deaf_worker.pid, signal.SIGTERM)
    deaf_worker.wait_for("Warm shutdown")
    if dies:
        signal_children(deaf_worker, signal.SIGKILL)
    else:
        deaf_worker.wait_for("pool_process_stuck")
        signal_children(deaf_worker, signal.SIGCONT)

    assert deaf_worker.wait() == 0
    processes.worker("two")
    wait_until(lambda: all_done(wire), "empty queues")
    assert HarvestEvent.objects.count() == 1


def test_worker_that_hangs_up_begins_anew(processes: Processes, wire: Wire) -> None:
    worker = processes.worker("again")

    os.kill(worker.pid, signal.SIGHUP)

    wait_until(lambda: worker.log.count("again@test ready.") == 2, "the worker again")
    wire.publish(airflow_event())
    wait_until(HarvestEvent.objects.exists, "the event")


def test_idle_worker_ends_soon_and_loses_nothing(processes: Processes, wire: Wire) -> None:
    worker = processes.worker()

    assert worker.terminate() == 0
    # The local AWS goes on serving the receive that the worker had open: one event may vanish into
    # it, until the visibility timeout ends.
    wire.publish(airflow_event())
    processes.worker("two")

    wait_until(HarvestEvent.objects.exists, "the event")


def test_worker_without_consumer_runs_tasks_only(processes: Processes, wire: Wire) -> None:
    run = make_run(recompute_due_at=timezone.now())
    worker = processes.worker(RIKOLTI_CONSUMER="0")

    wire.publish(airflow_event())
    recompute_run_status.delay(run.pk)
    wait_until(HarvestRun.objects.filter(pk=run.pk, recompute_due_at=None).exists, "the recomputed run")

    assert wire.depths()[EVENTS] == 1
    assert not HarvestEvent.objects.exists()
    assert "consumer_started" not in worker.log
    assert_calm(worker)


def test_worker_without_queue_url_says_what_to_do(processes: Processes, wire: Wire) -> None:
    worker = processes.worker(
        ready=False, RIKOLTI_EVENTS_QUEUE_URL="", AVRAM_TASKS_QUEUE_URL=wire.url(TASKS)
    )

    wait_until(lambda: not worker.is_alive, "the end of the worker")

    assert "RIKOLTI_EVENTS_QUEUE_URL is not set" in worker.log


def test_worker_that_would_reject_all_says_what_to_do(processes: Processes) -> None:
    worker = processes.worker(
        ready=False, RIKOLTI_CONSUMER="0", RIKOLTI_VERIFY_SIGNATURES="1", RIKOLTI_EVENTS_TOPIC_ARNS=""
    )

    assert worker.wait() == 1
    assert "RIKOLTI_EVENTS_TOPIC_ARNS" in worker.log


def test_beat_sweeps_by_the_schedule_of_the_admin(processes: Processes, wire: Wire) -> None:
    silent = make_run(last_heard_at=timezone.now() - timedelta(days=1), first_event_at=timezone.now())
    sweep_every_second()
    processes.worker()

    processes.beat()

    wait_until(
        HarvestRun.objects.filter(pk=silent.pk, stale_since__isnull=False).exists, "the stale run"
    )


def test_beat_sweeps_on_when_the_clock_goes_back(processes: Processes, wire: Wire) -> None:
    sweep_every_second()
    clock = Clock(TEMPORARY / "clock")
    clock.jump(50)

    beat = processes.beat(**clock.variables)
    beat.wait_for("Sending due task")
    clock.put_right()
    sent = beat.log.count("Sending due task")

    wait_until(lambda: beat.log.count("Sending due task") > sent + 2, "beat to go on")


def test_task_message_that_nobody_can_read_ends_no_worker(processes: Processes, wire: Wire) -> None:
    worker = processes.worker()

    for body in ('{"properties": "x"}', "not JSON", "[" * 50_000):
        wire.sqs.send_message(QueueUrl=wire.url(TASKS), MessageBody=body)
    worker.wait_for("task_message_unreadable")
    wire.publish(airflow_event())

    wait_until(HarvestEvent.objects.exists, "the event")
    assert worker.is_alive
