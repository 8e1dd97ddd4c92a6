from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from hypothesis import given, settings

from harvest import airflow, recording
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.recording import events as recording_events
from harvest.recording.rejected import reject
from harvest.sns import Notification, SqsMessage
from tests.factories import START, airflow_event, complete, message, sns_body, sqs_message
from tests.logged import entries
from tests.unit.strategies import any_text

pytestmark = pytest.mark.django_db

Reason = RejectedMessage.Reason

#: What can't be understood, by what it is.
HOSTILE = {
    "empty": ("", Reason.NOT_JSON),
    "words": ("hello", Reason.NOT_JSON),
    "nul": ("a\0b", Reason.NOT_JSON),
    "lone surrogate": ("a\ud800b", Reason.NOT_JSON),
    "both in JSON": ('{"dag_id": "\ud800", "x": "\0"', Reason.NOT_JSON),
    "200 KB": ("lorem ipsum " * 17_000, Reason.NOT_JSON),
    "200 KB of backslashes": ('{"a": "' + "\\" * 200_000, Reason.NOT_JSON),
    "base64": (base64.b64encode(json.dumps(airflow_event()).encode()).decode(), Reason.NOT_JSON),
    "NaN": ('{"dag_id": NaN}', Reason.NOT_JSON),
    "two lines": ("{}\r\n{}\r\n", Reason.NOT_JSON),
    "deep": ("[" * 100_000, Reason.UNREASONABLE),
    "digits": ("7" * 5000, Reason.UNREASONABLE),
    "infinity": ('{"a": 1e400}', Reason.UNREASONABLE),
    "array": ("[1, 2]", Reason.NOT_AN_OBJECT),
    "number": ("5", Reason.NOT_AN_OBJECT),
    "properties": ('{"properties": {}, "body": "e30="}', Reason.MISSING_KEY),
    "no run id": (sns_body(airflow_event(dag_run_id=...)), Reason.MISSING_KEY),
    "bad date": (sns_body(airflow_event(logical_date="soon")), Reason.BAD_DATE),
    "overflowing date": (
        sns_body(airflow_event(logical_date="0001-01-01T00:00:00+14:00")),
        Reason.BAD_DATE,
    ),
    "long name": (sns_body(airflow_event(dag_id="x" * 5000)), Reason.BAD_STRING),
    "name with nul": (sns_body(airflow_event(dag_id="a\0b")), Reason.BAD_STRING),
    "wrong type": (sns_body(airflow_event(map_index="1")), Reason.WRONG_TYPE),
    "version": (sns_body(airflow_event(version="2.0")), Reason.UNKNOWN_VERSION),
    "subscription": (sns_body("…", Type="SubscriptionConfirmation"), Reason.SUBSCRIPTION),
    "unsubscription": (sns_body("…", Type="UnsubscribeConfirmation"), Reason.SUBSCRIPTION),
}


def store(received: SqsMessage) -> RejectedMessage:
    """Record a message that is rejected, and return what is kept of it."""
    assert recording.record([received]).rejected == 1
    return RejectedMessage.objects.latest("last_seen_at")


# --- What is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_reject_keeps_the_whole_body_and_the_reason(body: str, reason: RejectedMessage.Reason) -> None:
    rejected = store(sqs_message(body))

    assert rejected.whole_body == body
    assert rejected.reason == reason
    assert rejected.error
    assert not HarvestRun.objects.exists()


def test_every_reason_is_tried() -> None:
    of_origin = {
        Reason.UNSIGNED, Reason.UNKNOWN_TOPIC, Reason.BAD_SIGNATURE, Reason.BAD_CERTIFICATE
    }  # fmt: skip
    # test_recording_origin.py tries these.
    assert {reason for _, reason in HOSTILE.values()} == set(Reason) - {Reason.FAULT} - of_origin


@given(any_text)
@settings(max_examples=40, deadline=None)
def test_reject_keeps_any_body(body: str) -> None:
    with transaction.atomic():
        assert store(sqs_message(body)).whole_body == body
        transaction.set_rollback(True)


def test_reject_keeps_a_body_as_it_came_where_the_database_can() -> None:
    rejected = store(sqs_message("Ænima 📚\r\n"))

    assert rejected.body == "Ænima 📚\r\n"
    assert rejected.body_encoding == RejectedMessage.Encoding.PLAIN


@pytest.mark.parametrize("body", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
def test_reject_keeps_other_bodies_in_json(body: str) -> None:
    rejected = store(sqs_message(body))

    assert rejected.body_encoding == RejectedMessage.Encoding.JSON
    assert json.loads(rejected.body) == body


def test_reject_keeps_a_body_that_looks_as_if_encoded() -> None:
    assert store(sqs_message('"text"')).whole_body == '"text"'
    assert store(sqs_message('"a\\u0000"')).whole_body == '"a\\u0000"'


def test_reject_keeps_what_sqs_said() -> None:
    received = sqs_message("not JSON", sent_at=START + timedelta(milliseconds=123))

    rejected = store(received)

    assert rejected.sqs_message == received.envelope()
    assert rejected.sent_at == START + timedelta(milliseconds=123)
    assert rejected.to_sqs_message() == received


def test_reject_says_exactly_what_is_wrong() -> None:
    assert store(message(logical_date="soon")).error == "logical_date is no date: 'soon'"


# --- Copies ---------------------------------------------------------------------------------------


def test_reject_copies_of_one_publication_are_counted() -> None:
    body = sns_body("not JSON", message_id="of the topic")
    first, second = sqs_message(body), sqs_message(body)

    recording.record([first, second])
    recording.record([first])

    rejected = RejectedMessage.objects.get()
    assert rejected.times_seen == 3
    assert rejected.sqs_message == first.envelope()
    assert rejected.first_seen_at < rejected.last_seen_at


def test_reject_same_body_of_other_messages_is_kept_for_each() -> None:
    """With raw delivery two events may say the same: they are two events all the same."""
    bodies = [
        json.dumps(airflow_event(version="9", rikolti_message=message))
        for message in ({"dag_complete": True}, {"a": 1}, {"dag_complete": True})
    ]
    messages = [
        sqs_message(body, sent_at=START + timedelta(seconds=number))
        for number, body in enumerate(bodies)
    ]
    recording.record(messages)
    recording.record(messages[:1])
    assert sorted(RejectedMessage.objects.values_list("times_seen", flat=True)) == [1, 1, 2]


def test_reject_other_bodies_are_kept_apart() -> None:
    bodies = ["a", "A", "a ", "a\0", "a\ud800", "a\ud801", "a�", "á", "a\u0301"]

    recording.record([sqs_message(body) for body in bodies])

    assert sorted(rejected.whole_body for rejected in RejectedMessage.objects.all()) == sorted(bodies)


def test_reject_same_body_has_the_latest_reason() -> None:
    received = sqs_message("not JSON")
    reject(received, Reason.NOT_JSON, "then")

    reject(received, Reason.FAULT, "now")

    rejected = RejectedMessage.objects.get()
    assert (rejected.reason, rejected.error) == (Reason.FAULT, "now")


def test_reject_an_error_that_no_database_stores() -> None:
    reject(sqs_message("x"), Reason.FAULT, "a\0b\ud800")

    assert RejectedMessage.objects.get().error == "a�b�"


# --- Replay ---------------------------------------------------------------------------------------


def learn_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a newer release might: understand what was rejected before."""

    def parse_event(notification: Notification) -> airflow.Event:
        content = {**notification.content, "version": "1.0"}
        return airflow.parse_event(
            Notification(
                notification.message_id, notification.published_at, content, notification.envelope
            )
        )

    monkeypatch.setattr(recording_events, "parse_event", parse_event)


def test_replay_what_is_understood_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = store(complete(message_id="cf997318", version="2.0"))
    learn_version_2(monkeypatch)

    assert recording.replay(rejected)

    run = HarvestRun.objects.get()
    assert run.status == HarvestRun.Status.SUCCEEDED
    assert run.events.get().message_id == "cf997318"
    rejected.refresh_from_db()
    assert rejected.replayed_at is not None
    assert rejected.times_seen == 1


def test_replay_raw_delivery_is_the_event_that_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    sent_at = START + timedelta(milliseconds=123)
    raw = sqs_message(json.dumps(airflow_event(version="2.0")), message_id="4f338efd", sent_at=sent_at)
    rejected = store(raw)
    learn_version_2(monkeypatch)

    recording.replay(rejected)

    event = HarvestEvent.objects.get()
    assert event.message_id == "4f338efd"
    assert event.sns_timestamp == sent_at
    assert event.sqs_message == raw.envelope()


def test_replay_into_a_run_that_went_on_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = store(message(seconds=0, version="2.0"))
    recording.record([complete(seconds=1)])
    learn_version_2(monkeypatch)

    recording.replay(rejected)

    run = HarvestRun.objects.get()
    assert run.status == HarvestRun.Status.SUCCEEDED
    assert run.events.count() == 2
    assert run.first_event_at == START


def test_fault_with_the_run_of_a_replay_is_left_to_the_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rejected = store(complete(version="2.0"))
    learn_version_2(monkeypatch)

    def stumble(run_id: int) -> None:
        raise ZeroDivisionError("a planted fault")

    monkeypatch.setattr("harvest.recording.several.recompute", stumble)

    assert recording.replay(rejected)

    run = HarvestRun.objects.get()
    assert run.recompute_due_at is not None
    assert [entry["run_id"] for entry in entries(caplog, "run_not_recomputed")] == [run.pk]


def test_replay_what_is_still_not_understood() -> None:
    rejected = store(sqs_message("not JSON"))

    assert not recording.replay(rejected)

    rejected.refresh_from_db()
    assert rejected.replayed_at is None
    assert rejected.times_seen == 2


def test_replay_what_is_rejected_for_another_reason_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = store(message(version="2.0", logical_date="soon"))
    learn_version_2(monkeypatch)

    recording.replay(rejected)

    rejected.refresh_from_db()
    assert rejected.reason == Reason.BAD_DATE


@pytest.mark.parametrize("times", [1, 2])
def test_replay_of_an_event_that_is_stored_adds_none(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    rejected = store(message(version="2.0"))
    learn_version_2(monkeypatch)
    recording.record([rejected.to_sqs_message()])

    outcomes = [recording.replay(rejected) for _ in range(times)]

    assert all(outcomes)
    assert HarvestEvent.objects.count() == 1
    rejected.refresh_from_db()
    assert rejected.replayed_at is not None


def test_replay_while_the_database_is_away_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = store(message(version="2.0"))

    def fail(*args: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(recording_events, "locate_run", fail)
    learn_version_2(monkeypatch)

    with pytest.raises(OperationalError):
        recording.replay(rejected)

    rejected.refresh_from_db()
    assert rejected.replayed_at is None


def test_reject_again_after_a_replay_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    received = message(version="2.0")
    rejected = store(received)
    with monkeypatch.context() as newer:
        learn_version_2(newer)
        recording.replay(rejected)

    store(received)

    rejected.refresh_from_db()
    assert rejected.replayed_at is None
