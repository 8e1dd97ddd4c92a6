from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from hypothesis import given, settings

from harvest import airflow, limits, recording
from harvest.airflow import Event
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.recording import Recorded
from harvest.recording import events as recording_events
from harvest.sns import Notification, SqsMessage
from tests.factories import (
    HOST,
    START,
    TOPIC_ARN,
    airflow_event,
    complete,
    make_collection,
    message,
    sns_body,
    sqs_message,
)
from tests.unit.strategies import bodies

pytestmark = pytest.mark.django_db


def record(*messages: SqsMessage) -> Recorded:
    return recording.record(messages)


def refuse_statements(fragment: str, error: type[Exception]) -> Callable[..., Any]:
    """Return a wrapper for ``connection.execute_wrapper``: the database fails at certain statements."""

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if fragment in sql:
            raise error("the database is away")
        return execute(sql, params, many, context)

    return wrapper


# --- What is stored -------------------------------------------------------------------------------


def test_record_first_event_makes_the_run() -> None:
    result = record(message(seconds=5))

    run = HarvestRun.objects.get()
    assert result == Recorded(run_id=run.pk, recorded=1)
    assert run.key == (HOST, "harvest_collection", "manual__2026-11-24T05:21:34+00:00")
    assert run.logical_date == START
    assert run.dag_run_conf == {"collection_id": "27551"}
    assert run.conf_collection_id == 27551
    assert run.status == HarvestRun.Status.RUNNING


def test_record_event_of_a_task() -> None:
    received = message(
        message_id="cf997318",
        seconds=0.502,
        task_id="mapping.map_page",
        try_number=2,
        map_index=3,
        rikolti_message={"error": True, "exception": "KeyError"},
    )

    record(received)

    event = HarvestEvent.objects.get()
    assert event.message_id == "cf997318"
    assert event.sns_timestamp == datetime(2026, 11, 24, 5, 21, 34, 502000, tzinfo=UTC)
    assert (event.task_id, event.try_number, event.map_index) == ("mapping.map_page", 2, 3)
    assert event.rikolti_message == {"error": True, "exception": "KeyError"}
    assert event.error
    assert not event.dag_level
    assert event.outcome == HarvestRun.Status.FAILED
    assert event.dag_run_conf == {"collection_id": "27551"}
    assert event.host == HOST


def test_record_event_of_the_whole_run_belongs_to_no_task() -> None:
    record(complete(task_id="merge_any_child_records", try_number=1, map_index=-1))

    event = HarvestEvent.objects.get()
    assert (event.task_id, event.try_number, event.map_index) == (None, None, None)
    assert event.dag_level


def test_record_keeps_what_sqs_and_sns_said() -> None:
    received = message()

    record(received)

    event = HarvestEvent.objects.get()
    assert event.sqs_message == {
        "MessageId": received.message_id,
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": received.md5_of_body,
    }
    assert event.sns_message == {
        "Type": "Notification",
        "TopicArn": TOPIC_ARN,
        "SignatureVersion": "2",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
    }


def test_record_raw_delivery_is_known_by_what_sqs_says() -> None:
    record(sqs_message(json.dumps(airflow_event()), message_id="4f338efd"))

    event = HarvestEvent.objects.get()
    assert event.message_id == "4f338efd"
    assert event.sns_timestamp == START
    assert event.sns_message == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "a path/",
        [{"status": "success"}],
        5,
        True,
        {},
        {"text": "Ænima 📚 \\u0000 \u2028 '\""},
        {"integer": 10**39, "number": -1.5e-7},
        json.loads('{"a":' * 60 + "[]" + "}" * 60),
    ],
    ids=["null", "path", "array", "number", "true", "empty", "text", "numbers", "deep"],
)
def test_record_keeps_any_rikolti_message(value: object) -> None:
    record(message(rikolti_message=value))

    assert HarvestEvent.objects.get().rikolti_message == value


def test_record_mends_what_no_database_stores() -> None:
    record(message(rikolti_message={"a\0": "b\0", "c": "\ud800"}))

    assert HarvestEvent.objects.get().rikolti_message == {"a�": "b�", "c": "�"}


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"])
def test_record_dates_at_the_ends_of_the_calendar(date: str) -> None:
    record(message(logical_date=date))

    assert HarvestEvent.objects.get().logical_date == datetime.fromisoformat(date)
    assert HarvestRun.objects.get().logical_date == datetime.fromisoformat(date)


def test_record_longest_identifiers() -> None:
    host = "https://" + "h" * (limits.MAX_HOST - 8)
    longest = "📚" * limits.MAX_ID

    result = record(message(host=host, dag_id=longest, dag_run_id=longest, task_id=longest))

    assert result.recorded == 1
    assert HarvestRun.objects.get().key == (host, longest, longest)


@pytest.mark.parametrize("conf", ["null", "None"])
def test_record_conf_that_says_null_in_a_string(conf: str) -> None:
    record(message())

    result = record(message(dag_run_conf=conf))

    assert (result.recorded, result.duplicates, result.rejected) == (1, 0, 0)
    assert HarvestEvent.objects.filter(dag_run_conf={}).count() == 1


def test_record_event_of_a_linked_run_has_its_collection() -> None:
    collection = make_collection(27551)
    run_id = record(message()).run_id
    assert run_id is not None
    recording.recompute(run_id)

    record(message(message_id="later"))

    assert HarvestEvent.objects.get(message_id="later").collection == collection


# --- Copies ---------------------------------------------------------------------------------------


def test_record_copies_in_one_batch_are_stored_once() -> None:
    body = sns_body(airflow_event())

    result = record(sqs_message(body), sqs_message(body), sqs_message(body))

    assert (result.recorded, result.duplicates) == (1, 2)
    assert HarvestEvent.objects.count() == 1


def test_record_copies_in_later_batches_are_stored_once() -> None:
    first, second = message(), message()
    record(first)

    result = record(first, second)

    assert (result.recorded, result.duplicates) == (1, 1)
    assert record(first, second) == Recorded(run_id=result.run_id, duplicates=2)
    assert HarvestEvent.objects.count() == 2


def test_record_copy_changes_nothing_of_the_first() -> None:
    body = sns_body(airflow_event())
    first = sqs_message(body)
    record(first)

    record(sqs_message(body))

    assert HarvestEvent.objects.get().sqs_message == first.envelope()


# --- Good and bad together ------------------------------------------------------------------------


def test_record_bad_messages_do_not_block_good_ones() -> None:
    result = record(
        sqs_message("not JSON"), message(), message(dag_id=...), message(), sqs_message("[]")
    )

    assert (result.recorded, result.rejected) == (2, 3)
    assert HarvestRun.objects.get().pk == result.run_id
    assert set(RejectedMessage.objects.values_list("reason", flat=True)) == {
        "not_json",
        "missing_key",
        "not_an_object",
    }


def test_record_bad_messages_alone_have_no_run() -> None:
    assert record(sqs_message("not JSON"), sqs_message("")) == Recorded(rejected=2)


def test_record_nothing() -> None:
    assert record() == Recorded()


def test_record_messages_of_two_runs_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(recording.SeveralRuns):
        record(message(dag_run_id="a"), message(dag_run_id="b"))

    assert not HarvestRun.objects.exists()


# --- The mark for the sweep -----------------------------------------------------------------------


def test_record_marks_the_run_until_it_is_recomputed() -> None:
    run_id = record(message()).run_id
    assert run_id is not None

    run = HarvestRun.objects.get()
    assert run.recompute_due_at is not None
    assert run.recompute_due_at == HarvestEvent.objects.get().recorded_at

    recording.recompute(run_id)
    run.refresh_from_db()
    assert run.recompute_due_at is None


def test_record_does_not_put_off_the_mark() -> None:
    record(message())
    due_at = HarvestRun.objects.get().recompute_due_at

    record(message())

    assert HarvestRun.objects.get().recompute_due_at == due_at


def test_record_copy_leaves_no_mark() -> None:
    received = message()
    run_id = record(received).run_id
    assert run_id is not None
    recording.recompute(run_id)

    record(received)

    assert HarvestRun.objects.get().recompute_due_at is None


# --- Faults ---------------------------------------------------------------------------------------


def test_record_fault_of_the_parser_is_kept_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse_with_fault(notification: Notification) -> Event:
        if notification.content["task_id"] == "odd":
            raise ZeroDivisionError("of the parser")
        return airflow.parse_event(notification)

    monkeypatch.setattr(recording_events, "parse_event", parse_with_fault)
    odd = message(task_id="odd")

    result = record(message(), odd, message())

    assert (result.recorded, result.rejected) == (2, 1)
    rejected = RejectedMessage.objects.get()
    assert rejected.reason == RejectedMessage.Reason.FAULT
    assert rejected.whole_body == odd.body
    assert rejected.error.startswith("Traceback (most recent call last):")
    assert rejected.error.rstrip().endswith("ZeroDivisionError: of the parser")


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    ("field", "value"), [("rikolti_message", {object()}), ("dag_run_conf", None)], ids=["data", "null"]
)
def test_record_row_that_is_refused_rejects_that_one_only(
    monkeypatch: pytest.MonkeyPatch, place: int, field: str, value: Any
) -> None:
    def parse_to_what_no_column_takes(notification: Notification) -> Event:
        event = airflow.parse_event(notification)
        return replace(event, **{field: value}) if event.task_id == "odd" else event

    monkeypatch.setattr(recording_events, "parse_event", parse_to_what_no_column_takes)
    messages = [message(message_id="a"), message(message_id="b")]
    odd = message(task_id="odd")
    messages.insert(place, odd)

    result = recording.record(messages)

    assert (result.recorded, result.duplicates, result.rejected) == (2, 0, 1)
    assert set(HarvestEvent.objects.values_list("message_id", flat=True)) == {"a", "b"}
    rejected = RejectedMessage.objects.get()
    assert rejected.reason == RejectedMessage.Reason.FAULT
    assert rejected.whole_body == odd.body


def test_record_row_that_is_refused_alone_makes_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse_to_what_no_column_takes(notification: Notification) -> Event:
        return replace(airflow.parse_event(notification), rikolti_message={object()})

    monkeypatch.setattr(recording_events, "parse_event", parse_to_what_no_column_takes)

    assert record(message()) == Recorded(rejected=1)
    assert not HarvestRun.objects.exists()


@pytest.mark.parametrize(
    "odd",
    [
        sqs_message(json.dumps(airflow_event()), message_id="x" * 1000),
        sqs_message(json.dumps(airflow_event()), message_id="a\0b"),
        replace(message(), receipt_handle="a\0b"),
        replace(message(), md5_of_body="\ud800"),
    ],
    ids=["long id", "nul in id", "nul in handle", "surrogate"],
)
def test_record_drops_nothing_whatever_sqs_says(odd: SqsMessage) -> None:
    # PostgreSQL refuses what SQLite takes: either way the message is kept, and blocks no other.
    result = record(message(message_id="good"), odd)

    assert HarvestEvent.objects.filter(message_id="good").exists()
    assert result.duplicates == 0
    assert HarvestEvent.objects.count() + RejectedMessage.objects.count() == 2


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("statement", ["harvest_harvestevent", 'UPDATE "harvest_harvestrun"'])
def test_record_while_the_database_is_away_stores_nothing(
    error: type[Exception], statement: str
) -> None:
    messages = [message(), message()]

    with (
        pytest.raises(error, match="away"),
        connection.execute_wrapper(refuse_statements(statement, error)),
    ):
        record(*messages)

    assert not HarvestRun.objects.exists()
    assert not HarvestEvent.objects.exists()
    assert not RejectedMessage.objects.exists()
    assert record(*messages).recorded == 2


@given(bodies)
@settings(max_examples=40, deadline=None)
def test_record_keeps_every_body_as_an_event_or_rejected(body: str) -> None:
    with transaction.atomic():
        result = record(sqs_message(body))

        assert result.recorded + result.rejected == 1
        assert HarvestEvent.objects.count() == result.recorded
        assert [row.whole_body for row in RejectedMessage.objects.all()] == [body] * result.rejected
        transaction.set_rollback(True)


def test_record_many_events_in_one_batch() -> None:
    messages: Sequence[SqsMessage] = [message(map_index=index) for index in range(500)]

    assert recording.record(messages).recorded == 500
    assert HarvestEvent.objects.values("map_index").distinct().count() == 500
