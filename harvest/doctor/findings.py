"""What was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import ClientError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works, and will not under every circumstance.
    WARNING = "warning"
    #: Something is lost, or does not work.
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at and how it is; and where it is not well, what to do."""

    level: Level
    what: str
    todo: str = ""


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, todo: str) -> Finding:
    return Finding(Level.WARNING, what, todo)


def fault(what: str, todo: str) -> Finding:
    return Finding(Level.FAULT, what, todo)


#: What AWS says to one who may not.
_DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException")


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_denied(error: ClientError) -> bool:
    """Return whether AWS refused a request because of who asked."""
    return code_of(error).rpartition(".")[2] in _DENIED
