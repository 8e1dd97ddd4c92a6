"""rikolti_status, on a queue that is in this process: tests/broker has it on a real wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from pytest_django import Settings

from harvest.certificates import Certificates
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.recording import origin
from harvest.sns import SqsMessage
from tests.factories import TOPIC_ARN, complete, failed, message, sqs_message, task_error
from tests.signatures import signed
from tests.sns_server import SnsServer

pytestmark = pytest.mark.django_db


class Sqs:
    """Amazon's client, as far as the raw queue uses it. What is received stays until deleted."""

    def __init__(self) -> None:
        self.waiting: list[SqsMessage] = []
        self.received: dict[str, SqsMessage] = {}
        self.fails_after: int | None = None
        self.waits: list[int] = []

    def send(self, messages: Sequence[SqsMessage]) -> None:
        self.waiting.extend(messages)

    def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int,
        WaitTimeSeconds: int,
        MessageSystemAttributeNames: list[str],
    ) -> dict[str, Any]:
        if self.fails_after == len(self.waits):
            raise EndpointConnectionError(endpoint_url=QueueUrl)
        self.waits.append(WaitTimeSeconds)
        taken, self.waiting = (
            self.waiting[:MaxNumberOfMessages],
            self.waiting[MaxNumberOfMessages:],
        )
        self.received |= {message.receipt_handle: message for message in taken}
        entries = [
            {
                "MessageId": one.message_id,
                "ReceiptHandle": one.receipt_handle,
                "MD5OfBody": one.md5_of_body,
                "Body": one.body,
                "Attributes": {"SentTimestamp": str(int(one.sent_at.timestamp() * 1000))},
            }
            for one in taken
        ]
        return {"Messages": entries} if entries else {}

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        if len(Entries) > 10 or len({entry["Id"] for entry in Entries}) < len(Entries):
            raise ClientError({"Error": {"Code": "BatchEntry"}}, "DeleteMessageBatch")
        for entry in Entries:
            del self.received[entry["ReceiptHandle"]]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.received


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    sqs = Sqs()
    monkeypatch.setattr("harvest.rawqueue.boto3", SimpleNamespace(client=lambda service, **options: sqs))
    return sqs


def rikolti_status(*arguments: str) -> list[str]:
    output = StringIO()
    call_command("rikolti_status", *arguments, stdout=output)
    return output.getvalue().splitlines()


@contextmanager
def database_that_goes_away_after(statement: str, times: int) -> Iterator[None]:
    """Let the database answer nothing any more, from the given occurrence of a statement on."""
    seen = 0

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen += statement in sql
        if seen >= times:
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield


# --- What it does ---------------------------------------------------------------------------------


def test_rikolti_status_of_an_empty_queue(sqs: Sqs) -> None:
    assert rikolti_status() == ["0 messages: 0 events recorded, 0 seen before, 0 rejected; 0 runs"]
    assert sqs.waits == [2]


def test_rikolti_status_takes_all_that_is_there(sqs: Sqs) -> None:
    copy = message(dag_run_id="a", seconds=1)
    sqs.send(
        [
            message(dag_run_id="a"),
            copy,
            sqs_message("not JSON"),
            message(dag_run_id="b"),
            failed(dag_run_id="b", seconds=2),
            complete(dag_run_id="a", seconds=2),
            sqs_message(copy.body),
            complete(dag_run_id="c", seconds=1),
        ]
    )

    assert rikolti_status() == [
        "8 messages: 6 events recorded, 1 seen before, 1 rejected; 3 runs (1 failed, 2 succeeded)"
    ]
    assert sqs.is_empty
    assert dict(HarvestRun.objects.values_list("dag_run_id", "status")) == {
        "a": "succeeded",
        "b": "failed",
        "c": "succeeded",
    }
    assert RejectedMessage.objects.count() == 1


def test_rikolti_status_again_changes_nothing(sqs: Sqs) -> None:
    messages = [message(), task_error(seconds=1)]
    sqs.send(messages)
    rikolti_status()

    sqs.send([sqs_message(one.body) for one in messages])

    assert rikolti_status() == [
        "2 messages: 0 events recorded, 2 seen before, 0 rejected; 1 runs (1 failed)"
    ]


def test_rikolti_status_tells_how_far_it_is(sqs: Sqs) -> None:
    sqs.send([message(map_index=index) for index in range(215)])

    assert rikolti_status() == [
        "100 messages …",
        "200 messages …",
        "215 messages: 215 events recorded, 0 seen before, 0 rejected; 1 runs (1 running)",
    ]


def test_rikolti_status_dates_raw_messages_by_their_sending(sqs: Sqs) -> None:
    body = '{"dag_id": "d", "dag_run_id": "r", "logical_date": "2026-11-24T05:21:34Z"}'
    sent_at = datetime.fromisoformat("2026-11-24T05:21:35.123+00:00")
    sqs.send([sqs_message(body, sent_at=sent_at)])

    rikolti_status()

    assert HarvestEvent.objects.get().sns_timestamp == sent_at


def test_rikolti_status_waits_as_long_as_is_said(sqs: Sqs) -> None:
    rikolti_status("--wait", "20")

    assert sqs.waits == [20]


# --- What goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["21", "-1", "long"])
def test_rikolti_status_waits_no_longer_than_sqs_does(sqs: Sqs, wait: str) -> None:
    with pytest.raises(CommandError, match="--wait"):
        rikolti_status(f"--wait={wait}")


def test_rikolti_status_without_a_queue(settings: Settings) -> None:
    settings.RIKOLTI_EVENTS_QUEUE_URL = ""

    with pytest.raises(CommandError, match=r"^RIKOLTI_EVENTS_QUEUE_URL is not set"):
        rikolti_status()


def test_rikolti_status_while_the_queue_is_away_says_how_far_it_came(sqs: Sqs) -> None:
    sqs.send([message(map_index=index) for index in range(20)])
    sqs.fails_after = 1

    with pytest.raises(
        CommandError, match=r"^10 messages: 10 events .*; then the queue failed: Could not connect"
    ):
        rikolti_status()

    assert HarvestEvent.objects.count() == 10


def test_rikolti_status_while_the_database_is_away_deletes_nothing(sqs: Sqs) -> None:
    messages = [message(map_index=index) for index in range(3)]
    sqs.send(messages)

    with (
        pytest.raises(CommandError, match="then the database failed: the database is away"),
        database_that_goes_away_after("harvest_harvestevent", times=1),
    ):
        rikolti_status()

    assert len(sqs.received) == 3


@pytest.mark.django_db(transaction=True)
def test_rikolti_status_when_the_database_goes_away_says_so_without_it(sqs: Sqs) -> None:
    sqs.send([message(map_index=index) for index in range(20)])

    with (
        pytest.raises(CommandError, match=r"^10 messages: 10 events recorded.*then the database failed"),
        database_that_goes_away_after('INTO "harvest_harvestevent"', times=2),
    ):
        rikolti_status()

    assert len(sqs.received) == 10


@pytest.fixture
def no_certificate(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, sns_server: SnsServer
) -> SnsServer:
    """SNS's server, which is away."""
    clock = count(0, 10)  # long after the failure, each time it looks
    monkeypatch.setattr(origin, "certificates", Certificates(lambda: next(clock)))
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN]
    sns_server.away = True
    return sns_server


def test_rikolti_status_while_no_certificate_can_be_fetched_deletes_nothing_of_it(
    sqs: Sqs, no_certificate: SnsServer
) -> None:
    messages = [signed(), message()]
    sqs.send(messages)

    with pytest.raises(
        CommandError, match=r"^0 messages.*then not verified yet, 2 of 2: https://sns.*run this again"
    ):
        rikolti_status()

    assert len(sqs.received) == 2
    no_certificate.away = False
    sqs.send(messages)
    assert rikolti_status() == [
        "2 messages: 1 events recorded, 0 seen before, 1 rejected; 1 runs (1 running)"
    ]


@pytest.mark.usefixtures("no_certificate")
def test_rikolti_status_takes_what_needs_no_certificate_however_much_waits_for_one(sqs: Sqs) -> None:
    waiting = [signed(event={"dag_run_id": f"run {number}"}) for number in range(11)]
    sqs.send([*waiting, *(sqs_message(text) for text in ("not JSON", "nor this"))])

    with pytest.raises(
        CommandError,
        match=r"^2 messages: 0 events recorded.* 2 rejected; 0 runs, 11 left; then .*run this again",
    ):
        rikolti_status()

    assert len(sqs.received) == 11


@pytest.mark.usefixtures("no_certificate")
def test_rikolti_status_does_not_go_on_receiving_what_waits(sqs: Sqs) -> None:
    """Each receive counts: in the end SQS would take them for dead letters."""
    waiting = [signed() for _ in range(10)]
    sqs.send([*waiting, *waiting, *waiting])

    with pytest.raises(CommandError, match="not verified yet"):
        rikolti_status()

    assert len(sqs.waits) == 2
