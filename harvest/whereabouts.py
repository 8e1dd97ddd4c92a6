"""Where in a body that could not be understood it goes wrong, for a person to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harvest import limits
from harvest.airflow import parse_event
from harvest.errors import Malformed, MalformedMessage
from harvest.sns import MESSAGE, SqsMessage, is_enveloped, parse_notification
from harvest.strictjson import read_json_as_written


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a body. ``path`` are the keys that lead there, none for the body itself.

    Where a text stops to be JSON, ``line`` and ``column`` of it count from 1, and ``before`` and
    ``after`` are the characters on either side; else they are None.
    """

    reason: Malformed
    path: tuple[str, ...]
    line: int | None = None
    column: int | None = None
    before: str = ""
    after: str = ""


def find_place(message: SqsMessage) -> Place | None:
    """Return where a body goes wrong by today's rules. None: nowhere, or it is the body as a whole."""
    error = _first_error(message)
    if error is None or (not error.path and error.position is None):
        return None
    if error.position is None:
        return Place(error.reason, error.path)
    text: Any = message.body
    for key in error.path:
        text = read_json_as_written(text)[key]
    before, after = text[: error.position], text[error.position :]
    return Place(
        error.reason,
        error.path,
        line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n"),
        before=before[-limits.MAX_AROUND :],
        after=after[: limits.MAX_AROUND],
    )


def _first_error(message: SqsMessage) -> MalformedMessage | None:
    try:
        notification = parse_notification(message)
    except MalformedMessage as error:
        return error
    try:
        parse_event(notification)
    except MalformedMessage as error:
        enveloped = is_enveloped(read_json_as_written(message.body))
        return error.inside(MESSAGE) if enveloped and error.path else error
    return None
