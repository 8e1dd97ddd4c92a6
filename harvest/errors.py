"""What can be wrong with a message, and the one exception that says so."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from harvest import limits


class Malformed(StrEnum):
    """Why a message could not be understood, or is not believed.

    The values are stored (``RejectedMessage.reason``), so a name may be added but never changed.
    """

    #: The text is not JSON as RFC 8259 has it (``NaN`` and ``Infinity`` are not).
    NOT_JSON = "not_json"
    #: The JSON is sound but nests deeper, or has longer numbers, than anything Rikolti sends; or
    #: the envelope has a key twice.
    UNREASONABLE = "unreasonable"
    #: The JSON is sound but is no object, neither an SNS notification nor an Airflow event.
    NOT_AN_OBJECT = "not_an_object"
    #: SNS asks to confirm that the queue was subscribed or unsubscribed: a person's decision.
    SUBSCRIPTION = "subscription"
    #: The message is not in SNS's envelope, so that nothing says who sent it.
    UNSIGNED = "unsigned"
    #: The topic is none of those that events are taken from.
    UNKNOWN_TOPIC = "unknown_topic"
    #: SNS did not sign this, or it was changed on its way.
    BAD_SIGNATURE = "bad_signature"
    #: What it is signed with is no certificate of SNS, or was not valid then.
    BAD_CERTIFICATE = "bad_certificate"
    #: A key without which the event has no place is absent, null or empty.
    MISSING_KEY = "missing_key"
    #: A key is there but its value has another type than the contract says.
    WRONG_TYPE = "wrong_type"
    #: A string is longer than what Airflow itself would accept for it, or holds a NUL.
    BAD_STRING = "bad_string"
    #: A date is not ISO 8601 with an offset, or lies outside the calendar.
    BAD_DATE = "bad_date"
    #: The event's version is one that this code has not been taught.
    UNKNOWN_VERSION = "unknown_version"


class MalformedMessage(Exception):
    """A message from outside breaks the contract: it is kept whole, with this reason.

    Where that is known, ``path`` are the keys that lead to the text or value that is wrong, from the
    body's outermost object, and ``position`` is the character at which a text stops to be JSON, from 0.
    """

    def __init__(
        self,
        reason: Malformed,
        detail: str,
        *,
        path: tuple[str, ...] = (),
        position: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.path = path
        self.position = position

    def inside(self, key: str) -> MalformedMessage:
        """Return the same as an error of what contains it."""
        return MalformedMessage(self.reason, self.detail, path=(key, *self.path), position=self.position)


def excerpt(value: Any) -> str:
    """Return a value from outside, or its beginning, in quotes, as a reason may repeat it."""
    quoted = repr(str(value)[: limits.MAX_QUOTED])  # an escape may have ten characters
    return quoted if len(quoted) <= limits.MAX_QUOTED + 2 else quoted[: limits.MAX_QUOTED] + "…"
