"""The consumer's thread against the real queue, with the task queue in the test's hands."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from celery import current_app
from celery.exceptions import OperationalError
from django.utils import timezone
from pytest_django import Settings

from harvest import consumer
from harvest.batching import group_by_run
from harvest.certificates import Certificates
from harvest.consumer import Receiver
from harvest.models import HarvestEvent, RejectedMessage
from harvest.provision import EVENTS, TASKS
from harvest.rawqueue import RawQueue
from harvest.recording import origin
from harvest.tasks import record_event
from tests.broker.processes import wait_until
from tests.broker.wire import Wire
from tests.factories import TOPIC_ARN, airflow_event, sns_body, sqs_message
from tests.logged import entries
from tests.signatures import signed
from tests.sns_server import SnsServer


@pytest.fixture
def receiver(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(consumer, "LONG_POLL", 1)
    receiver = Receiver(RawQueue(wire.url(EVENTS)))
    yield receiver
    receiver.stop()
    receiver.join(10)
    assert not receiver.is_alive()


def bodies(count: int, runs: int = 1) -> list[str]:
    return [sns_body(airflow_event(dag_run_id=f"run {i % runs}")) for i in range(count)]


def tasks_on(wire: Wire) -> list[dict[str, Any]]:
    """Take all messages off the task queue, and return their headers."""
    found = []
    url = wire.url(TASKS)
    while messages := wire.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"])["headers"])
            wire.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_backlog_is_taken_in_one_chain_a_run(receiver: Receiver, wire: Wire) -> None:
    wire.send(bodies(60, runs=3))

    receiver.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    tasks = tasks_on(wire)
    assert [task["task"] for task in tasks] == ["harvest.record_event"] * 3
    assert sorted(task["argsrepr"] for task in tasks) == [
        f"(20 messages of harvest_collection run {run})" for run in range(3)
    ]


def test_busy_worker_is_given_fewer_and_larger_chains(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = threading.Event()
    busy.set()
    monkeypatch.setattr(receiver, "_is_busy", busy.is_set)
    receiver.start()

    for body in bodies(4):  # one by one, with time for a chain each
        wire.send([body])
        wait_until(lambda: wire.attributes(EVENTS)["ApproximateNumberOfMessages"] == "0", "a receive")
    busy.clear()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    assert [task["argsrepr"] for task in tasks_on(wire)] == ["(4 messages of harvest_collection run 0)"]


def test_nothing_is_deleted_while_nothing_can_be_published(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = threading.Event()
    away.set()
    publish = current_app.amqp.send_task_message

    def send(*args: Any, **kwargs: Any) -> Any:
        if away.is_set():
            raise OperationalError("the broker is away")
        return publish(*args, **kwargs)

    monkeypatch.setattr(type(current_app.amqp), "send_task_message", property(lambda _: send))
    wire.send(bodies(15))

    receiver.start()
    wait_until(lambda: entries(caplog, "messages_held"), "the warning")
    assert wire.depths()[EVENTS] == 15
    assert receiver.is_alive()

    away.clear()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")
    assert len(tasks_on(wire)) == 1


def test_stopped_while_nothing_can_be_published_it_gives_back(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the broker is away")

    monkeypatch.setattr(type(current_app.amqp), "send_task_message", property(lambda _: refuse))
    wire.send(bodies(3))
    receiver.start()
    wait_until(lambda: entries(caplog, "messages_held"), "the warning")

    receiver.stop()

    response = wire.sqs.receive_message(QueueUrl=wire.url(EVENTS), MaxNumberOfMessages=10)
    assert len(response["Messages"]) == 3


@pytest.mark.django_db(transaction=True)
def test_message_too_large_for_a_chain_is_recorded_at_once(receiver: Receiver, wire: Wire) -> None:
    # Letters of two bytes each, at random: quoted for the task and compressed they take more.
    letters = random.Random(3).choices([chr(code) for code in range(0x80, 0x800)], k=515_000)
    noise = "".join(letters)
    event = airflow_event(rikolti_message={"error": True, "traceback": noise})
    wire.sqs.send_message(QueueUrl=wire.url(EVENTS), MessageBody=json.dumps(event, ensure_ascii=False))

    receiver.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    assert tasks_on(wire) == []
    stored = HarvestEvent.objects.get()
    assert stored.rikolti_message == event["rikolti_message"]
    assert stored.harvest_run.status == "failed"


@pytest.mark.django_db(transaction=True)
def test_run_that_can_not_be_published_blocks_no_other(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = current_app.amqp.send_task_message

    def send(producer: Any, name: str, task: Any, **options: Any) -> Any:
        if "run 1" in task.headers["argsrepr"]:
            raise OperationalError("not this one, for a reason that nobody foresaw")
        return publish(producer, name, task, **options)

    monkeypatch.setattr(type(current_app.amqp), "send_task_message", property(lambda _: send))
    wire.send(bodies(9, runs=3))

    receiver.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    assert HarvestEvent.objects.filter(harvest_run__dag_run_id="run 1").count() == 3
    assert sorted(task["argsrepr"][-6:-1] for task in tasks_on(wire)) == ["run 0", "run 2"]


@pytest.mark.django_db(transaction=True)
def test_what_can_neither_be_published_nor_verified_stays_in_hand(
    receiver: Receiver,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: Settings,
    sns_server: SnsServer,
) -> None:
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN]
    clock = count(0, 10)  # long after the failure, each time it looks
    monkeypatch.setattr(origin, "certificates", Certificates(lambda: next(clock)))
    sns_server.away = True

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ClientError({"Error": {"Code": "InvalidParameterValue"}}, "SendMessage")

    monkeypatch.setattr(type(current_app.amqp), "send_task_message", property(lambda _: refuse))
    wire.send([signed(at=timezone.now()).body])

    receiver.start()
    wait_until(lambda: entries(caplog, "messages_not_verified"), "the warning")
    wait_until(lambda: entries(caplog, "messages_held"), "the message in hand")
    assert "not verified yet, 1 of 1" in entries(caplog, "messages_not_verified")[0]["error"]
    assert entries(caplog, "messages_held")[0]["messages"] == 1
    assert wire.depths()[EVENTS] == 1

    sns_server.away = False
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")
    assert HarvestEvent.objects.count() == 1


def test_what_has_no_run_is_in_a_chain_of_its_own(receiver: Receiver, wire: Wire) -> None:
    wire.send(["not JSON", '{"properties": "x"}', *bodies(2)])

    receiver.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    assert len(tasks_on(wire)) == 2


def test_receiver_outlives_what_it_never_expected(
    receiver: Receiver, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [RuntimeError("a fault of our own")]

    def break_once(messages: Any) -> Any:
        if faults:
            raise faults.pop()
        return group_by_run(messages)

    monkeypatch.setattr(consumer, "group_by_run", break_once)
    wire.send(bodies(2))

    receiver.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty raw queue")

    assert "a fault of our own" in caplog.text
    assert len(tasks_on(wire)) == 1


@pytest.mark.django_db
def test_task_rejects_what_the_consumer_could_not_read() -> None:
    assert record_event([sqs_message("not JSON").to_task()]) is None
    assert RejectedMessage.objects.get().reason == "not_json"
