"""Dead letters on the real wire: read, and taken up again while a worker does its own work."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_celery_results.models import TaskResult

from harvest import readings, redrive
from harvest.models import HarvestRun, QueueReading, Redrive
from harvest.provision import DEAD_LETTERS, EVENTS, TASKS
from harvest.tasks import read_queues, recompute_run_status, redrive_dead_letters
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import assert_calm, assert_end_state
from tests.broker.traffic import mixed
from tests.broker.wire import Wire
from tests.factories import airflow_event, make_run, sns_body
from tests.logged import entries

EVENTS_DEAD, TASKS_DEAD = EVENTS + DEAD_LETTERS, TASKS + DEAD_LETTERS


def command(*arguments: str) -> str:
    output = StringIO()
    call_command("redrive_dead_letters", *arguments, stdout=output, no_color=True)
    return output.getvalue()


def bury_task(wire: Wire, run: HarvestRun) -> dict[str, str]:
    """Put a task of Celery's among the dead letters, with attributes. Return its attributes."""
    recompute_run_status.delay(run.pk)
    (message,) = wire.sqs.receive_message(QueueUrl=wire.url(TASKS), WaitTimeSeconds=2)["Messages"]
    wire.sqs.send_message(
        QueueUrl=wire.url(TASKS_DEAD),
        MessageBody=message["Body"],
        MessageAttributes={
            "sender": {"DataType": "String", "StringValue": "a test"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        },
    )
    wire.sqs.delete_message(QueueUrl=wire.url(TASKS), ReceiptHandle=message["ReceiptHandle"])
    return {"body": message["Body"]}


def test_500_raw_dead_letters_are_stored_or_rejected(processes: Processes, wire: Wire) -> None:
    worker = processes.worker()
    traffic = mixed(500)
    wire.send(traffic.bodies, EVENTS_DEAD)

    one = redrive.begin(Redrive.Kind.EVENTS)
    redrive_dead_letters.delay(one.pk, one.slices)
    wait_until(Redrive.objects.filter(ended_at__isnull=False).exists, "the end of the redrive")

    assert_end_state(traffic)
    wait_until(wire.is_empty, "empty queues")
    one.refresh_from_db()
    assert (one.total, one.taken, one.rejected) == (500, 500, len(traffic.rejected))
    assert (one.way, one.problem) == ("singly", "")
    assert_calm(worker)


def test_redrive_by_command_beside_a_worker(processes: Processes, wire: Wire) -> None:
    worker = processes.worker()
    traffic = mixed(500, seed=2)
    wire.send(traffic.bodies[:250], EVENTS_DEAD)
    wire.send(traffic.bodies[250:], EVENTS)

    output = command("events")
    wait_until(
        lambda: wire.is_empty() and not HarvestRun.objects.filter(recompute_due_at__isnull=False),
        "empty queues",
    )

    assert_end_state(traffic)
    assert "250 messages redriven one by one" in output
    assert_calm(worker)


def test_redrive_of_so_many(transactional_db: None, wire: Wire) -> None:
    wire.send((sns_body(airflow_event()) for _ in range(25)), EVENTS_DEAD)

    assert command("events", "--dry-run", "--limit", "12") == (
        f"would redrive 12 of 25 messages of {EVENTS_DEAD}\n"
    )
    assert wire.depths()[EVENTS_DEAD] == 25

    assert command("events", "--limit", "12").endswith("12 messages redriven one by one\n")
    assert wire.depths()[EVENTS_DEAD] == 13
    assert HarvestRun.objects.get().events.count() == 12


def test_tasks_go_back_as_they_are(transactional_db: None, wire: Wire) -> None:
    buried = bury_task(wire, make_run())

    assert "1 messages redriven one by one" in command("tasks")

    assert wire.depths() == {EVENTS: 0, EVENTS_DEAD: 0, TASKS: 1, TASKS_DEAD: 0}
    (message,) = wire.sqs.receive_message(
        QueueUrl=wire.url(TASKS), MessageAttributeNames=["All"], WaitTimeSeconds=2
    )["Messages"]
    assert message["Body"] == buried["body"]
    assert message["MessageAttributes"] == {
        "sender": {"DataType": "String", "StringValue": "a test"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }


def test_task_that_is_redriven_is_done(processes: Processes, wire: Wire) -> None:
    run = make_run()
    bury_task(wire, run)
    processes.worker()

    one = redrive.begin(Redrive.Kind.TASKS)
    redrive_dead_letters.delay(one.pk, one.slices)

    done = TaskResult.objects.filter(task_name="harvest.recompute_run_status", status="SUCCESS")
    wait_until(lambda: done.filter(task_args=f'"({run.pk},)"').exists(), "the task's result")
    wait_until(Redrive.objects.filter(ended_at__isnull=False).exists, "the end of the redrive")
    assert Redrive.objects.get().taken == 1


def test_what_another_holds_is_waited_for(transactional_db: None, wire: Wire) -> None:
    wire.send([sns_body(airflow_event())], EVENTS_DEAD)
    wire.sqs.receive_message(QueueUrl=wire.url(EVENTS_DEAD), VisibilityTimeout=1, WaitTimeSeconds=2)
    one = redrive.begin(Redrive.Kind.EVENTS)

    wait_until(lambda: redrive.go_on(one) == 0, "what was held")

    assert one.ended_at is not None
    assert HarvestRun.objects.get().events.count() == 1


def test_command_without_a_dead_letter_queue(transactional_db: None, wire: Wire) -> None:
    wire.sqs.delete_queue(QueueUrl=wire.url(EVENTS_DEAD))

    with pytest.raises(CommandError, match="rikolti-events-dlq is not there"):
        command("events")
    with pytest.raises(CommandError, match="none is no number of messages"):
        command("events", "--limit", "none")


def test_readings(transactional_db: None, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wire.send([sns_body(airflow_event())] * 3, EVENTS)
    wire.send(["dead"] * 2, EVENTS_DEAD)
    wire.sqs.receive_message(QueueUrl=wire.url(EVENTS), MaxNumberOfMessages=1, WaitTimeSeconds=2)
    before = datetime.now(UTC) - timedelta(seconds=30)

    outcome = readings.read_queues(timezone.now())

    read = {reading.queue: reading for reading in QueueReading.objects.all()}
    counts = {name: (reading.visible, reading.in_flight) for name, reading in read.items()}
    assert counts == {EVENTS: (2, 1), EVENTS_DEAD: (2, 0), TASKS: (0, 0), TASKS_DEAD: (0, 0)}
    assert read[EVENTS_DEAD].source == EVENTS
    oldest = read[EVENTS_DEAD].oldest_at
    assert oldest is not None
    assert oldest > before
    assert [name for name, reading in read.items() if reading.is_over] == [EVENTS_DEAD]
    (entry,) = entries(caplog, "queue_over_threshold")
    assert (entry["queue"], entry["messages"], entry["threshold"]) == (EVENTS_DEAD, 2, 0)
    assert wire.depths()[EVENTS_DEAD] == 2
    assert outcome.problems == []


def test_queue_that_is_missing_stops_no_other(transactional_db: None, wire: Wire) -> None:
    wire.sqs.delete_queue(QueueUrl=wire.url(EVENTS_DEAD))
    wire.sqs.set_queue_attributes(QueueUrl=wire.url(TASKS), Attributes={"RedrivePolicy": ""})

    outcome = readings.read_queues(timezone.now())

    assert outcome.problems == [f"{EVENTS_DEAD} is not there", f"{TASKS} has no dead-letter queue"]
    assert str(outcome) == (
        f"{EVENTS} 0, {TASKS} 0; {EVENTS_DEAD} is not there; {TASKS} has no dead-letter queue"
    )


def test_beat_task_reads_and_goes_on_with_what_was_left(processes: Processes, wire: Wire) -> None:
    wire.send([json.dumps({"no": "event"})], EVENTS_DEAD)
    one = redrive.begin(Redrive.Kind.EVENTS)
    Redrive.objects.update(touched_at=timezone.now() - redrive.GRACE)
    processes.worker()

    read_queues.delay()

    wait_until(Redrive.objects.filter(ended_at__isnull=False).exists, "the end of the redrive")
    one.refresh_from_db()
    assert (one.taken, one.rejected) == (1, 1)
    assert QueueReading.objects.count() == 4
