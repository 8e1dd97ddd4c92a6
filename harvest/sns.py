"""The transport layers: SQS message → SNS notification. Knows nothing of Airflow.

Source of the rules: the documentation of Amazon SNS on HTTP and SQS payloads, and on raw message
delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harvest import limits
from harvest.errors import Malformed, MalformedMessage, excerpt
from harvest.strictjson import REPLACEMENT, mend, read_json, read_json_as_written

_SUBSCRIPTION_TYPES = ("SubscriptionConfirmation", "UnsubscribeConfirmation")

#: The key of an envelope under which the published message is, as text.
MESSAGE = "Message"

#: What is kept of the envelope. Message, MessageId and Timestamp have places of their own; SNS does not
#: sign MessageAttributes; UnsubscribeURL lets whoever reads it end the subscription.
_KEPT = (
    "Type",
    "TopicArn",
    "Subject",
    "SignatureVersion",
    "Signature",
    "SigningCertURL",
)


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """One message as ``ReceiveMessage`` returned it.

    ``sent_at`` is when SQS got it, an aware datetime in UTC. The repr, which may end in a log, has
    no body here and in what is read from it: a conf may hold a secret.
    """

    message_id: str
    body: str = field(repr=False)
    receipt_handle: str = field(repr=False)
    md5_of_body: str
    sent_at: datetime

    @classmethod
    def from_boto3(cls, message: Mapping[str, Any], received_at: datetime) -> SqsMessage:
        """Read one entry of boto3's ``receive_message()["Messages"]``.

        ``received_at`` stands in for the ``SentTimestamp`` attribute where SQS was not asked for it.
        """
        sent = message.get("Attributes", {}).get("SentTimestamp")
        return cls(
            message_id=message["MessageId"],
            body=message["Body"],
            receipt_handle=message.get("ReceiptHandle", ""),
            md5_of_body=message.get("MD5OfBody", ""),
            sent_at=received_at if sent is None else datetime.fromtimestamp(int(sent) / 1000, UTC),
        )

    @classmethod
    def from_task(cls, argument: Mapping[str, str]) -> SqsMessage:
        """Read back what :meth:`to_task` wrote."""
        return cls(
            message_id=argument["MessageId"],
            body=argument["Body"],
            receipt_handle=argument["ReceiptHandle"],
            md5_of_body=argument["MD5OfBody"],
            sent_at=datetime.fromisoformat(argument["SentAt"]),
        )

    @property
    def size(self) -> int:
        """Bytes of the body, as SQS counts them."""
        return len(self.body.encode(errors="surrogatepass"))

    def to_task(self) -> dict[str, str]:
        """Return the message as a Celery task takes it: strings only."""
        return {"Body": self.body, **self.envelope(), "SentAt": self.sent_at.isoformat()}

    def envelope(self) -> dict[str, str]:
        """Return all but the body, by SQS's names."""
        return {
            "MessageId": self.message_id,
            "ReceiptHandle": self.receipt_handle,
            "MD5OfBody": self.md5_of_body,
        }


@dataclass(frozen=True, slots=True)
class Notification:
    """One publication to the topic.

    ``message_id`` is the identity of the event: the same in every copy of one publication.
    ``published_at`` is when SNS took it (with raw delivery: when SQS did), aware, in UTC.
    ``content`` is the published message, read from JSON. ``envelope`` is what is kept of SNS's own.
    """

    message_id: str
    published_at: datetime
    content: Mapping[str, Any] = field(repr=False)
    envelope: Mapping[str, Any] = field(default_factory=dict, repr=False)


#: Takes a message and the object in its body, with every character as it was written. Raises
#: MalformedMessage where that is not what SNS sent.
Verify = Callable[[SqsMessage, Mapping[str, Any]], None]


def parse_notification(message: SqsMessage, verify: Verify | None = None) -> Notification:
    """Take the message out of its SNS envelope, or as it is where delivery was raw.

    ``verify`` is asked before anything of the body is believed; whatever it raises is let out.

    Raises:
        MalformedMessage: the body is no JSON object, a subscription confirmation, or an envelope
            without its parts.
    """
    written = read_json_as_written(message.body, unique_keys=verify is not None)
    body = _as_object(written, "the body")
    if verify is not None:
        verify(message, body)
    body = mend(body)
    if not is_enveloped(body):
        return Notification(message.message_id, message.sent_at, body)

    if body["Type"] in _SUBSCRIPTION_TYPES:
        raise MalformedMessage(
            Malformed.SUBSCRIPTION,
            f"{body['Type']} for {excerpt(body['TopicArn'])}: confirm it by hand if you expect it",
        )
    if body["Type"] != "Notification":
        raise MalformedMessage(
            Malformed.WRONG_TYPE, f"Type is {excerpt(body['Type'])}, not Notification", path=("Type",)
        )

    return Notification(
        message_id=read_string(body, "MessageId", limits.MAX_MESSAGE_ID),
        published_at=read_date(body, "Timestamp"),
        content=_read_content(read_text(body, MESSAGE)),
        envelope={key: body[key] for key in _KEPT if key in body},
    )


def _read_content(text: str) -> dict[str, Any]:
    try:
        return _as_object(read_json(text), "the Message")
    except MalformedMessage as error:
        raise error.inside(MESSAGE) from None


def publication_id(message: SqsMessage) -> str:
    """Return what all copies of a publication have in common, of any body: SNS's id, or SQS's."""
    try:
        body = read_json(message.body)
    except MalformedMessage:
        return message.message_id
    own = body.get("MessageId") if isinstance(body, dict) and is_enveloped(body) else None
    return own if own and isinstance(own, str) else message.message_id


def read_text(content: Mapping[str, Any], key: str) -> str:
    """Return a string that must be there, may be of any length, and is not empty."""
    value = content.get(key)
    if value is None or value == "":
        raise MalformedMessage(Malformed.MISSING_KEY, f"{key} is missing", path=(key,))
    if not isinstance(value, str):
        raise MalformedMessage(
            Malformed.WRONG_TYPE, f"{key} is a {json_type(value)}, not a string", path=(key,)
        )
    return value


def read_string(content: Mapping[str, Any], key: str, max_length: int) -> str:
    """Return a string that identifies something: bounded, and unaltered by the reader."""
    value = read_text(content, key)
    if len(value) > max_length:
        raise MalformedMessage(
            Malformed.BAD_STRING, f"{key} has {len(value)} characters, over {max_length}", path=(key,)
        )
    if REPLACEMENT in value:
        raise MalformedMessage(
            Malformed.BAD_STRING, f"{key} holds a character that is not text", path=(key,)
        )
    return value


def read_date(content: Mapping[str, Any], key: str) -> datetime:
    """Return an ISO 8601 date with an offset, in UTC."""
    text = read_text(content, key)
    try:
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            raise MalformedMessage(
                Malformed.BAD_DATE, f"{key} has no offset: {excerpt(text)}", path=(key,)
            )
        return date.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedMessage(
            Malformed.BAD_DATE, f"{key} is no date: {excerpt(text)}", path=(key,)
        ) from None


def is_enveloped(body: Mapping[str, Any]) -> bool:
    """An object with both a ``Type`` and a ``TopicArn`` is SNS's; any other is the publisher's."""
    return "Type" in body and "TopicArn" in body


def _as_object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise MalformedMessage(
            Malformed.NOT_AN_OBJECT, f"{what} is a JSON {json_type(data)}, not an object"
        )
    return data


def json_type(value: Any) -> str:
    """Return the name that JSON has for the type of a value."""
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}
    return names.get(type(value), "null" if value is None else "object")
