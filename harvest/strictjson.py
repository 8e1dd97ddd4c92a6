"""Reading JSON that a stranger wrote, so that the result can be stored anywhere.

What comes out is plain data within :mod:`harvest.limits`: every number is finite, every string is valid
Unicode without NUL (PostgreSQL stores neither in JSON), nothing nests so deep that a later reader runs
out of stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harvest import limits
from harvest.errors import Malformed, MalformedMessage

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
#: Possessive, and content with a string that never ends, so that no text takes more than one pass.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read_json(text: str) -> Any:
    """Return the data of one JSON text.

    NUL and unpaired surrogates in strings become U+FFFD. Everything else is as it was written.

    Raises:
        MalformedMessage: ``NOT_JSON`` with the position, or ``UNREASONABLE`` with the bound.
    """
    data = read_json_as_written(text)
    return mend(data) if _may_need_mending(text) else data


def read_json_as_written(text: str, *, unique_keys: bool = False) -> Any:
    """Return the same with every character that was written, which no database may store.

    ``unique_keys`` refuses an object that has a key twice. Of such, readers take the first or the
    last, so that what one verifies is not what another reads.

    Raises:
        MalformedMessage: as above.
    """
    if text.count("[") + text.count("{") > limits.MAX_DEPTH:  # else it can't be deeper, strings or not
        _check_depth(text)
    try:
        return (_UNIQUE_KEYS if unique_keys else _ANY_KEYS).decode(text)
    except json.JSONDecodeError as error:
        raise MalformedMessage(Malformed.NOT_JSON, f"not JSON: {error}", position=error.pos) from None


def mend(data: Any) -> Any:
    """Return the same data with U+FFFD in place of the characters that no database stores."""
    if isinstance(data, str):
        return _UNSTORABLE.sub(REPLACEMENT, data)
    if isinstance(data, list):
        return [mend(item) for item in data]
    if isinstance(data, dict):
        return {mend(key): mend(value) for key, value in data.items()}
    return data


def is_storable(text: str) -> bool:
    """Return whether every database stores this text as it is."""
    return _UNSTORABLE.search(text) is None


def _may_need_mending(text: str) -> bool:
    """Return False where JSON's text surely stands for no such character. Far quicker than mending."""
    return not text.isascii() or "\\u0000" in text or "\\ud" in text or "\\uD" in text


def _check_depth(text: str) -> None:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > limits.MAX_DEPTH:
                raise MalformedMessage(
                    Malformed.UNREASONABLE,
                    f"nests deeper than {limits.MAX_DEPTH} levels at character {token.start()}",
                    position=token.start(),
                )
        elif first in "]}":
            depth -= 1


def _read_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise MalformedMessage(Malformed.UNREASONABLE, "an object has a key twice")
    return data


def _read_int(text: str) -> int:
    digits = len(text.removeprefix("-"))
    if digits > limits.MAX_DIGITS:
        raise MalformedMessage(
            Malformed.UNREASONABLE, f"an integer of {digits} digits, over {limits.MAX_DIGITS}"
        )
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    if number and not limits.MIN_FLOAT <= abs(number) < limits.MAX_FLOAT:
        raise MalformedMessage(
            Malformed.UNREASONABLE, f"the number {text[: limits.MAX_QUOTED]} is out of range"
        )
    return number


def _refuse_constant(name: str) -> None:
    raise MalformedMessage(Malformed.NOT_JSON, f"not JSON: {name} is no JSON value")


_NUMBERS: Mapping[str, Any] = {
    "parse_int": _read_int,
    "parse_float": _read_float,
    "parse_constant": _refuse_constant,
}
_ANY_KEYS = json.JSONDecoder(**_NUMBERS)
_UNIQUE_KEYS = json.JSONDecoder(**_NUMBERS, object_pairs_hook=_read_unique)
