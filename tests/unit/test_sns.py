from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.errors import Malformed, MalformedMessage
from harvest.limits import MAX_MESSAGE_ID, MAX_QUOTED
from harvest.sns import SqsMessage, parse_notification, publication_id
from tests.factories import START, TOPIC_ARN, airflow_event, message, sns_body, sqs_message
from tests.unit.strategies import any_text, moments


def refusal(body: str) -> Malformed:
    with pytest.raises(MalformedMessage) as caught:
        parse_notification(sqs_message(body))
    return caught.value.reason


# --- SQS messages ---------------------------------------------------------------------------------


def test_from_boto3_with_the_time_of_sending() -> None:
    received = {
        "MessageId": "4f338efd-f168-4372-b780-b8479b18105d",
        "ReceiptHandle": "adalxpvxnaxmqvurgesiddxq",
        "MD5OfBody": "d97ebb969bc1b32eb6741b60fc30a83e",
        "Body": "{}",
        "Attributes": {"SentTimestamp": "1795497694123"},
    }

    assert SqsMessage.from_boto3(received, received_at=datetime.now(UTC)) == SqsMessage(
        message_id="4f338efd-f168-4372-b780-b8479b18105d",
        body="{}",
        receipt_handle="adalxpvxnaxmqvurgesiddxq",
        md5_of_body="d97ebb969bc1b32eb6741b60fc30a83e",
        sent_at=datetime(2026, 11, 24, 5, 21, 34, 123000, tzinfo=UTC),
    )


@pytest.mark.parametrize("attributes", [{}, {"Attributes": {}}], ids=["absent", "empty"])
def test_from_boto3_without_attributes_is_dated_by_its_receiver(attributes: dict[str, Any]) -> None:
    received = {"MessageId": "1", "Body": "", "ReceiptHandle": "2", "MD5OfBody": "3", **attributes}

    assert SqsMessage.from_boto3(received, received_at=START).sent_at == START


@pytest.mark.parametrize(("body", "size"), [("", 0), ("abc", 3), ("é📚", 6), ("\ud800", 3)], ids=ascii)
def test_size_is_counted_in_bytes(body: str, size: int) -> None:
    assert sqs_message(body).size == size


def test_envelope_has_the_names_of_sqs_and_no_body() -> None:
    received = sqs_message("body", message_id="1")

    assert received.envelope() == {
        "MessageId": "1",
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": "841a2d689ad86bd1611447453c22c6fc",
    }


@given(
    st.builds(
        SqsMessage,
        message_id=any_text,
        body=any_text,
        receipt_handle=any_text,
        md5_of_body=any_text,
        sent_at=moments,
    )
)
@settings(max_examples=100, deadline=None)
def test_to_task_from_task_round_trip(sent: SqsMessage) -> None:
    argument = json.loads(json.dumps(sent.to_task()))

    assert SqsMessage.from_task(argument) == sent


# --- The envelope ---------------------------------------------------------------------------------


def test_parse_notification_in_its_envelope() -> None:
    body = sns_body(
        {"a": 1}, message_id="cf997318", at=START + timedelta(milliseconds=502), Subject="a subject"
    )

    notification = parse_notification(sqs_message(body, message_id="4f338efd"))

    assert notification.message_id == "cf997318"
    assert notification.published_at == datetime(2026, 11, 24, 5, 21, 34, 502000, tzinfo=UTC)
    assert notification.content == {"a": 1}
    assert notification.envelope == {
        "Type": "Notification",
        "TopicArn": TOPIC_ARN,
        "Subject": "a subject",
        "SignatureVersion": "2",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
    }


def test_parse_notification_keeps_nothing_that_is_not_signed() -> None:
    attributes = {"kind": {"Type": "String", "Value": "event"}}
    body = sns_body({}, message_id="cf997318", MessageAttributes=attributes)

    notification = parse_notification(sqs_message(body))

    assert notification == parse_notification(sqs_message(sns_body({}, message_id="cf997318")))
    assert "UnsubscribeURL" not in notification.envelope


def test_parse_notification_timestamp_of_whole_seconds() -> None:
    body = sns_body({}, Timestamp="2026-11-24T05:21:34Z")

    assert parse_notification(sqs_message(body)).published_at == START


def test_parse_notification_timestamp_with_another_offset_is_read_in_utc() -> None:
    body = sns_body({}, Timestamp="2026-11-24T06:21:34+01:00")

    published_at = parse_notification(sqs_message(body)).published_at

    assert published_at == START
    assert published_at.tzinfo is UTC


def test_parse_notification_is_the_same_in_every_copy() -> None:
    body = sns_body({"a": 1})

    first = parse_notification(sqs_message(body, message_id="1", sent_at=START))
    second = parse_notification(sqs_message(body, message_id="2", sent_at=START + timedelta(hours=1)))

    assert first == second


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_parse_notification_subscription_is_for_a_person(kind: str) -> None:
    body = sns_body("You have chosen …", Type=kind, Token="2336412f37", SubscribeURL="https://…")

    with pytest.raises(MalformedMessage, match=f"{kind} for '{TOPIC_ARN}'") as caught:
        parse_notification(sqs_message(body))

    assert caught.value.reason is Malformed.SUBSCRIPTION


@pytest.mark.parametrize("kind", ["Other", "notification", None, 1, ["Notification"], {}], ids=repr)
def test_parse_notification_of_another_type(kind: object) -> None:
    assert refusal(sns_body({}, Type=kind)) is Malformed.WRONG_TYPE


@pytest.mark.parametrize("value", [..., None, ""], ids=["absent", "null", "empty"])
@pytest.mark.parametrize("key", ["MessageId", "Timestamp", "Message"])
def test_parse_notification_missing_key(key: str, value: Any) -> None:
    with pytest.raises(MalformedMessage, match=f"{key} is missing") as caught:
        parse_notification(sqs_message(sns_body(airflow_event(), **{key: value})))

    assert caught.value.reason is Malformed.MISSING_KEY


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, ["x"]], ids=repr)
@pytest.mark.parametrize("key", ["MessageId", "Timestamp", "Message"])
def test_parse_notification_wrong_type(key: str, value: Any) -> None:
    assert refusal(sns_body(airflow_event(), **{key: value})) is Malformed.WRONG_TYPE


@pytest.mark.parametrize(
    "timestamp",
    [
        "yesterday",
        "2026-11-24T05:21:34",
        "2026-11-24",
        "2026-13-24T05:21:34Z",
        "2026-11-24T25:21:34Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1795497694",
        "2026-11-24T05:21:34Z" * 10_000,
    ],
    ids=["word", "naive", "day", "month", "hour", "year-1", "year-9999", "epoch", "long"],
)
def test_parse_notification_bad_date(timestamp: str) -> None:
    assert refusal(sns_body({}, Timestamp=timestamp)) is Malformed.BAD_DATE


def test_parse_notification_message_id_at_the_bound() -> None:
    longest = "x" * MAX_MESSAGE_ID

    assert parse_notification(sqs_message(sns_body({}, message_id=longest))).message_id == longest
    assert refusal(sns_body({}, message_id=longest + "x")) is Malformed.BAD_STRING


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"], ids=["nul", "surrogate"])
def test_parse_notification_message_id_that_is_no_text(text: str) -> None:
    assert refusal(sns_body({}, message_id=text)) is Malformed.BAD_STRING


@pytest.mark.parametrize("message", ["[]", '"text"', "1", "true", "null"])
def test_parse_notification_message_is_no_object(message: str) -> None:
    with pytest.raises(MalformedMessage, match="the Message is a JSON") as caught:
        parse_notification(sqs_message(sns_body(message)))

    assert caught.value.reason is Malformed.NOT_AN_OBJECT


@pytest.mark.parametrize("message", ["text", "{", "{'a': 1}", '{"a": NaN}'])
def test_parse_notification_message_is_not_json(message: str) -> None:
    assert refusal(sns_body(message)) is Malformed.NOT_JSON


def test_parse_notification_message_nests_too_deep() -> None:
    assert refusal(sns_body('{"a":' * 1000 + "1" + "}" * 1000)) is Malformed.UNREASONABLE


# --- Raw message delivery, and what is neither ----------------------------------------------------


def test_parse_notification_raw_is_known_by_what_sqs_says() -> None:
    raw = sqs_message(json.dumps({"a": 1}), message_id="4f338efd", sent_at=START)

    notification = parse_notification(raw)

    assert notification.message_id == "4f338efd"
    assert notification.published_at == START
    assert notification.content == {"a": 1}
    assert notification.envelope == {}


@pytest.mark.parametrize("key", ["Type", "TopicArn"])
def test_parse_notification_raw_may_have_one_key_of_the_envelope(key: str) -> None:
    body = json.dumps({key: "Notification", "dag_id": "harvest_collection"})

    assert parse_notification(sqs_message(body)).content == json.loads(body)


def test_parse_notification_raw_with_properties_is_not_an_envelope_of_kombu() -> None:
    body = json.dumps({**airflow_event(), "properties": {"delivery_tag": "x"}, "body": "e30="})

    assert parse_notification(sqs_message(body)).content == json.loads(body)


@pytest.mark.parametrize("body", ["[]", '"text"', "1", "true", "null", "[{}]"])
def test_parse_notification_body_is_no_object(body: str) -> None:
    with pytest.raises(MalformedMessage, match="the body is a JSON") as caught:
        parse_notification(sqs_message(body))

    assert caught.value.reason is Malformed.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "body",
    ["", "hello", "\0", "\ud800", "x" * 200_000, base64.b64encode(b'{"a": 1}').decode()],
    ids=["empty", "word", "nul", "surrogate", "long", "base64"],
)
def test_parse_notification_body_is_not_json(body: str) -> None:
    assert refusal(body) is Malformed.NOT_JSON


def test_sent_at_of_another_zone_survives_the_task() -> None:
    zone = timezone(timedelta(hours=-8))
    sent = SqsMessage("1", "", "", "", START.astimezone(zone))

    assert SqsMessage.from_task(sent.to_task()).sent_at == START


def test_parse_notification_of_a_whole_message() -> None:
    assert parse_notification(message(task_id="map_page")).content["task_id"] == "map_page"


@pytest.mark.parametrize(
    "keys",
    [{"Type": "x" * 10_000}, {"Type": ["\n"] * 10_000}, {"Timestamp": "\U000e0001" * 300}],
    ids=["type", "list", "escapes"],
)
def test_parse_notification_reason_quotes_no_more_than_the_beginning(keys: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_notification(sqs_message(sns_body(airflow_event(), **keys)))

    assert len(caught.value.detail) < 2 * MAX_QUOTED
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("message_id", ["", 5, None, []])
def test_publication_id_is_the_one_of_sqs_where_that_of_sns_is_none(message_id: Any) -> None:
    sent = sqs_message(sns_body(airflow_event(), MessageId=message_id))

    assert publication_id(sent) == sent.message_id


def test_publication_id_is_that_of_sns_whatever_the_message_is() -> None:
    assert publication_id(sqs_message(sns_body("no event", message_id="4f338efd"))) == "4f338efd"
