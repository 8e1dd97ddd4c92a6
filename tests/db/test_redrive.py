"""Redrive by SQS's own move task, which the local AWS has not; and what is kept of any redrive."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from celery.exceptions import Retry
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from harvest import recording, redrive
from harvest.models import HarvestEvent, QueueReading, Redrive
from harvest.queues import oldest_by_cloudwatch
from harvest.recording import NotVerified
from harvest.tasks import redrive_dead_letters
from tests.factories import airflow_event, sns_body

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.django_db

SOURCE = "arn:aws:sqs:us-west-2:000000000000:rikolti-events"
DEAD = f"{SOURCE}-dlq"
TASKS = Redrive.Kind.TASKS


class StubbedSqs:
    """SQS with the answers that Amazon documents, in the order in which they are asked for."""

    def __init__(self, client: SQSClient) -> None:
        self.stubber = Stubber(client)

    def queues(self, visible: int = 3, in_flight: int = 0) -> None:
        """The two questions with which each slice begins, and the redrive itself."""
        policy = f'{{"deadLetterTargetArn": "{DEAD}", "maxReceiveCount": 100}}'
        self.answer(
            "get_queue_attributes", {"Attributes": {"QueueArn": SOURCE, "RedrivePolicy": policy}}
        )
        self.answer("get_queue_url", {"QueueUrl": "http://127.0.0.1/0/rikolti-events-dlq"})
        self.dead_letters(visible, in_flight)

    def dead_letters(self, visible: int, in_flight: int = 0) -> None:
        attributes = {
            "QueueArn": DEAD,
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(in_flight),
        }
        self.answer("get_queue_attributes", {"Attributes": attributes})

    def moves(self, *results: dict[str, Any]) -> None:
        self.answer("list_message_move_tasks", {"Results": list(results)})

    def answer(self, method: str, response: dict[str, Any], expected: Any = None) -> None:
        self.stubber.add_response(method, response, expected)

    def refuse(self, method: str, code: str, message: str = "", status: int = 400) -> None:
        self.stubber.add_client_error(method, code, message, status)


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> StubbedSqs:
    client = boto3.client("sqs", region_name="us-west-2")
    monkeypatch.setattr("harvest.queues.sqs_client", lambda: client)
    stubbed = StubbedSqs(client)
    stubbed.stubber.activate()
    return stubbed


def later() -> int:
    """A moment after the beginning of a redrive, as SQS says it: in milliseconds."""
    return int(timezone.now().timestamp() * 1000) + 1_000


def running(moved: int) -> dict[str, Any]:
    return {
        "TaskHandle": "a handle",
        "Status": "RUNNING",
        "SourceArn": DEAD,
        "ApproximateNumberOfMessagesMoved": moved,
        "ApproximateNumberOfMessagesToMove": 3,
        "StartedTimestamp": later(),
    }


def ended(status: str, moved: int, **keys: Any) -> dict[str, Any]:
    return {
        "Status": status,
        "SourceArn": DEAD,
        "ApproximateNumberOfMessagesMoved": moved,
        "StartedTimestamp": later(),
        **keys,
    }


def begun(sqs: StubbedSqs, kind: Redrive.Kind = Redrive.Kind.EVENTS, **options: Any) -> Redrive:
    sqs.queues()
    return redrive.begin(kind, **options)


# --- Moved by SQS


def test_sqs_moves_all(sqs: StubbedSqs) -> None:
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.moves()
    sqs.answer(
        "start_message_move_task", {"TaskHandle": "a handle"},
        {"SourceArn": DEAD, "DestinationArn": SOURCE},
    )  # fmt: skip
    sqs.moves(running(1))

    assert redrive.go_on(one) == redrive.LOOK_SECONDS
    assert (one.way, one.taken, one.total, one.ended_at) == ("move", 1, 3, None)

    sqs.queues(visible=0)
    sqs.moves(ended("COMPLETED", 9) | {"StartedTimestamp": 1}, ended("COMPLETED", 3))
    redrive.go_on(one)

    assert (one.taken, one.problem) == (3, "")
    assert one.ended_at is not None
    sqs.stubber.assert_no_pending_responses()


def test_move_that_goes_on_already_is_followed(sqs: StubbedSqs) -> None:
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.moves(running(2))
    sqs.moves(running(2))

    redrive.go_on(one)

    assert (one.way, one.taken) == ("move", 2)


def test_move_that_sqs_does_not_show_yet_is_waited_for(sqs: StubbedSqs) -> None:
    before = ended("COMPLETED", 9) | {"StartedTimestamp": 1}
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.moves(before)
    sqs.answer("start_message_move_task", {"TaskHandle": "a handle"})
    sqs.moves(before)

    redrive.go_on(one)
    assert (one.taken, one.ended_at) == (0, None)

    Redrive.objects.update(started_at=timezone.now() - redrive.SETTLE)
    one.refresh_from_db()
    sqs.queues()
    sqs.moves(before)
    redrive.go_on(one)
    assert one.ended_at is not None


def test_move_that_fails_says_why(sqs: StubbedSqs) -> None:
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.moves(running(1))
    sqs.moves(ended("FAILED", 1, FailureReason="AWS.SimpleQueueService.AccessDenied"))

    redrive.go_on(one)

    assert one.problem == "FAILED: AWS.SimpleQueueService.AccessDenied"
    assert one.ended_at is not None


@pytest.mark.parametrize("code", ["InvalidAction", "AccessDenied"])
def test_service_without_moves_goes_one_by_one(sqs: StubbedSqs, code: str) -> None:
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.refuse("list_message_move_tasks", code)
    sqs.answer("receive_message", {"Messages": []})
    sqs.dead_letters(0)

    redrive.go_on(one)

    assert one.way == "singly"
    assert one.ended_at is not None


def test_raw_messages_are_never_moved_by_sqs(sqs: StubbedSqs) -> None:
    one = begun(sqs, Redrive.Kind.EVENTS)
    sqs.queues()
    sqs.answer("receive_message", {"Messages": []})
    sqs.dead_letters(0)

    redrive.go_on(one)

    assert one.way == "singly"
    sqs.stubber.assert_no_pending_responses()


# --- One by one


def raw(body: str, number: int = 1) -> dict[str, Any]:
    return {
        "MessageId": f"message-{number}",
        "ReceiptHandle": f"handle-{number}",
        "Body": body,
        "Attributes": {"SentTimestamp": "1795553751178"},
    }


def receiving(sqs: StubbedSqs, *messages: dict[str, Any]) -> Redrive:
    one = begun(sqs, most=5)
    sqs.queues()
    sqs.answer("receive_message", {"Messages": list(messages)})
    return one


def test_message_is_deleted_only_when_it_is_stored(sqs: StubbedSqs, monkeypatch: Any) -> None:
    one = receiving(sqs, raw(sns_body(airflow_event())))

    def refuse(*args: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("harvest.recording.several.record", refuse)
    with pytest.raises(OperationalError, match="the database is away"):
        redrive.go_on(one)

    sqs.stubber.assert_no_pending_responses()  # and none was asked for that deletes
    one.refresh_from_db()
    assert (one.taken, one.ended_at) == (0, None)


def test_message_that_cannot_be_verified_stays(sqs: StubbedSqs, monkeypatch: Any) -> None:
    one = receiving(sqs, raw(sns_body(airflow_event()), 1), raw("this is not JSON", 2))
    record = recording.record

    def verify_none(messages: Any) -> Any:
        if messages[0].body == "this is not JSON":
            return record(messages)
        raise NotVerified("no certificate", messages)

    monkeypatch.setattr("harvest.recording.several.record", verify_none)
    sqs.answer(
        "delete_message_batch", {"Successful": [], "Failed": []},
        {"QueueUrl": "http://127.0.0.1/0/rikolti-events-dlq",
         "Entries": [{"Id": "0", "ReceiptHandle": "handle-2"}]},
    )  # fmt: skip

    with pytest.raises(NotVerified):
        redrive.go_on(one)

    one.refresh_from_db()
    assert (one.taken, one.rejected, one.ended_at, one.problem) == (1, 1, None, "no certificate")


def test_tasks_that_went_back_are_counted_when_one_does_not(sqs: StubbedSqs) -> None:
    sqs.queues()
    one = redrive.begin(TASKS, most=5)
    sqs.queues()
    sqs.answer("receive_message", {"Messages": [raw("one", 1), raw("two", 2)]})
    sqs.answer("send_message", {"MessageId": "new"})
    sqs.answer("delete_message", {})
    sqs.refuse("send_message", "InvalidMessageContents", "not this one")

    redrive.go_on(one)

    assert one.taken == 1
    assert "not this one" in one.problem


def test_queue_that_refuses_ends_it(sqs: StubbedSqs) -> None:
    one = begun(sqs, most=5)
    sqs.queues()
    sqs.refuse("receive_message", "AccessDenied", "not for you")

    redrive.go_on(one)

    assert "not for you" in one.problem
    assert one.ended_at is not None


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("RequestThrottled", 403),
        ("AWS.SimpleQueueService.OverLimit", 403),
        ("TooMany", 429),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_refusal_that_passes_does_not_end_it(sqs: StubbedSqs, code: str, status: int) -> None:
    one = begun(sqs, most=5)
    sqs.queues()
    sqs.refuse("receive_message", code, "not now", status)

    with pytest.raises(ClientError, match="not now"):
        redrive.go_on(one)

    assert Redrive.objects.open().filter(problem__contains="not now").exists()

    sqs.queues(visible=0)
    sqs.answer("receive_message", {"Messages": []})
    sqs.dead_letters(0)
    redrive.go_on(one)
    assert one.ended_at is not None
    assert one.problem == ""


def test_move_goes_on_after_a_refusal_that_passes(sqs: StubbedSqs) -> None:
    one = begun(sqs, TASKS)
    sqs.queues()
    sqs.refuse("list_message_move_tasks", "ThrottlingException", "not now")

    with pytest.raises(ClientError, match="not now"):
        redrive.go_on(one)

    sqs.queues()
    sqs.moves(running(2))
    sqs.moves(running(2))
    redrive.go_on(one)
    assert (one.way, one.taken, one.problem, one.ended_at) == ("move", 2, "", None)


def test_task_tries_again_after_a_refusal_that_passes(sqs: StubbedSqs, monkeypatch: Any) -> None:
    one = begun(sqs, most=5)
    sqs.queues()
    sqs.refuse("receive_message", "ThrottlingException", "not now")
    tried_again: list[Any] = []

    def retry(**options: Any) -> Retry:
        tried_again.append(options["exc"])
        return Retry()

    monkeypatch.setattr(redrive_dead_letters, "retry", retry)
    with pytest.raises(Retry):
        redrive_dead_letters(one.pk, 0)

    assert "not now" in str(tried_again)


def test_fault_of_ours_ends_it(sqs: StubbedSqs, monkeypatch: pytest.MonkeyPatch) -> None:
    one = receiving(sqs, raw(sns_body(airflow_event())))

    def fail(*args: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr("harvest.recording.several.record", fail)
    with pytest.raises(KeyError):
        redrive.go_on(one)

    assert one.problem == "our own fault, see the task results: KeyError"
    assert one.ended_at is not None


# --- What is kept


def test_one_redrive_at_a_time(sqs: StubbedSqs) -> None:
    begun(sqs)
    sqs.queues()

    with pytest.raises(redrive.RedriveGoesOn, match="rikolti-events-dlq is being redriven already"):
        redrive.begin(Redrive.Kind.EVENTS)


def test_two_deliveries_of_a_slice_make_one_next(sqs: StubbedSqs, monkeypatch: Any) -> None:
    one = begun(sqs)
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        redrive_dead_letters, "apply_async", lambda args, countdown: sent.append((args, countdown))
    )
    monkeypatch.setattr(redrive, "go_on", lambda one: 10)

    redrive_dead_letters(one.pk, 0)
    answer = redrive_dead_letters(one.pk, 0)

    assert sent == [((one.pk, 1), 10)]
    assert answer == f"redrive {one.pk}: slice 0 was done already"


def test_redrive_that_is_left_alone_is_found(sqs: StubbedSqs) -> None:
    one = begun(sqs)
    now = timezone.now()

    assert redrive.left_alone(now) == []
    assert redrive.left_alone(now + redrive.GRACE * 2) == [one]
    Redrive.objects.update(ended_at=now)
    assert redrive.left_alone(now + redrive.GRACE * 2) == []


def test_command_goes_on_with_what_was_begun(sqs: StubbedSqs, capsys: Any) -> None:
    begun(sqs, most=1)
    sqs.queues()
    sqs.answer("receive_message", {"Messages": [raw(sns_body(airflow_event()))]})
    sqs.answer("delete_message_batch", {"Successful": [], "Failed": []})

    call_command("redrive_dead_letters", "events")

    output = capsys.readouterr().out
    assert "going on with the redrive of rikolti-events-dlq" in output
    assert "1 messages redriven one by one" in output
    assert HarvestEvent.objects.count() == 1


def test_command_says_that_sqs_is_away(monkeypatch: Any) -> None:
    def away() -> None:
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    monkeypatch.setattr("harvest.queues.sqs_client", away)

    with pytest.raises(CommandError, match="Read timeout"):
        call_command("redrive_dead_letters", "tasks")


# --- Readings


def test_age_by_cloudwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon's answer: newest first, and nothing of a queue that nobody uses."""
    client = boto3.client("cloudwatch", region_name="us-west-2")
    monkeypatch.setattr("boto3.client", lambda *args, **keys: client)
    now = timezone.now()
    results = [
        {"Id": "q0", "Timestamps": [now - timedelta(minutes=1), now - timedelta(minutes=2)],
         "Values": [600.0, 540.0]},
        {"Id": "q1", "Timestamps": [], "Values": []},
    ]  # fmt: skip

    with Stubber(client) as stubber:
        stubber.add_response("get_metric_data", {"MetricDataResults": results})
        found = oldest_by_cloudwatch(["rikolti-events", "avram-tasks"], now)

    assert found == {"rikolti-events": now - timedelta(minutes=11)}


@pytest.mark.parametrize(
    ("source", "visible", "is_over"),
    [("", 10_000, False), ("", 10_001, True), ("rikolti-events", 0, False), ("rikolti-events", 1, True)],
)
def test_threshold_of_a_queue(source: str, visible: int, is_over: bool) -> None:
    reading = QueueReading(queue="a queue", source=source, visible=visible)

    assert reading.is_over == is_over
