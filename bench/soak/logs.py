"""Which lines of a log say that something went wrong, whoever wrote it and in whichever form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

#: What honcho puts before a line: the time, and which process said it.
_FRAME = re.compile(r"^\d\d:\d\d:\d\d [\w.-]+ +\| ?")

#: Colours, which only a terminal should see.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: A level in text: ours after the time, gunicorn's in brackets, tornado's by a letter.
_LEVEL = re.compile(
    r"^(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]+Z?(?: ?[+-]\d{4})?\]? *)?(?:\[\d+\] *)?"
    r"\[?(?:(?P<word>debug|info|warning|error|critical|fatal)\b|(?P<letter>[DIWEC]) \d{6} )",
    re.IGNORECASE,
)
_LETTERS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "C": "critical"}

ERRORS = ("error", "critical", "fatal")


def level(line: str) -> str:
    """Return a line's level in small letters, or nothing. A traceback's first line is an error."""
    text = _COLOUR.sub("", _FRAME.sub("", line.rstrip()))
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except ValueError:
            return ""
        return str(fields.get("level", "")).lower()
    if text.startswith(("Traceback (most recent call last)", "Exception in thread")):
        return "error"
    found = _LEVEL.match(text)
    if found is None:
        return ""
    return (found["word"] or _LETTERS[found["letter"].upper()]).lower()


def errors(lines: Iterable[str]) -> list[str]:
    """Return the lines that tell of errors."""
    return [line.rstrip() for line in lines if level(line) in ERRORS]


def warnings(lines: Iterable[str]) -> Counter[str]:
    """Return how often something was warned of, numbers aside."""
    return Counter(
        re.sub(r"[0-9a-f-]{16,}|\d+", "…", _FRAME.sub("", line.rstrip()))
        for line in lines
        if level(line) == "warning"
    )
