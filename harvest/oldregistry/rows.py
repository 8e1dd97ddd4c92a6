"""A row there → what the parser reads. So an old event is judged as one that arrives is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harvest.airflow import Event, Outcome, parse_event
from harvest.sns import Notification, SqsMessage, is_enveloped

#: Words for the end of a run, and what they are here. All others are no end.
ENDS = {
    **dict.fromkeys(("succeeded", "success", "successful", "complete", "completed"), Outcome.SUCCEEDED),
    **dict.fromkeys(("failed", "failure", "error"), Outcome.FAILED),
}

#: What an event's envelope names, where the registry kept none.
TOPIC = "the registry's tables"

_OF_RUN = ("dag_id", "dag_run_id", "logical_date", "dag_run_conf", "host")
_OF_TASK = ("task_id", "try_number", "map_index", "rikolti_message")


def outcome_of(status: Any) -> Outcome:
    """Return what the registry's word for the status of a run is here."""
    return ENDS.get(str(status).strip().lower(), Outcome.RUNNING)


def to_run(row: Mapping[str, Any]) -> Event:
    """Return what a run is, as an event would tell it.

    Raises:
        MalformedMessage: as the parser has it.
    """
    content = _content(row, _OF_RUN)
    return parse_event(Notification("", datetime.now(UTC), content))


def to_message(pk: int, row: Mapping[str, Any], run: Mapping[str, Any] | None) -> SqsMessage:
    """Return the message that an event came with or, where the registry has not kept it, one that says
    what its columns do. That has an id of its own, the same each time.

    ``run`` is the row of its run, where there is one.
    """
    sqs, sns = (_as_object(_decode(row[column])) for column in ("sqs_message", "sns_message"))
    if isinstance(sqs.get("Body"), str):
        body = sqs["Body"]
    elif is_enveloped(sns) and sns.get("Message"):
        body = json.dumps({**sns, "Message": _as_text(sns["Message"])})
    else:
        body = json.dumps(
            {
                "Type": "Notification",
                "TopicArn": str(sns.get("TopicArn") or TOPIC),
                "MessageId": str(sns.get("MessageId") or f"event {pk} of {TOPIC}"),
                "Timestamp": _moment(row["sns_timestamp"]),
                "Message": json.dumps(_event(row, run or {})),
            }
        )
    return SqsMessage(
        message_id=str(sqs.get("MessageId") or f"event {pk} of {TOPIC}"),
        body=body,
        receipt_handle="",
        md5_of_body=hashlib.md5(body.encode(errors="replace"), usedforsecurity=False).hexdigest(),
        sent_at=_sent_at(row["sns_timestamp"]),
    )


def _event(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    event = {**_content(run, _OF_RUN), **_content(row, _OF_TASK)}
    message = event.get("rikolti_message")
    if row["error"] and not (isinstance(message, dict) and message.get("error")):
        event["rikolti_message"] = {**_as_object(message), "error": True}
        if message is not None and not isinstance(message, dict):
            event["rikolti_message"]["exception"] = str(message)
    return event


def _content(row: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    content = {key: _decode(row[key]) for key in keys if row.get(key) is not None}
    if "logical_date" in content:
        content["logical_date"] = _moment(content["logical_date"])
    return content


def _decode(value: Any) -> Any:
    """A column of JSON comes as text where the database has no such type, or its driver leaves it."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
    return value


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _moment(value: Any) -> str:
    """Return a date as the parser takes it. One without an offset is in UTC, as Django stores it."""
    try:
        date = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)  # which the parser rejects, and says why
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat()


def _sent_at(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(_moment(value))
    except ValueError:
        return datetime.now(UTC)
