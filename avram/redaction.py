"""What is cut out of log entries, and of reports to Sentry: secrets, what looks like one, and length.

It is the last thing that happens to an entry. Our own code puts no secret and no body into one; this is
for what others quote in their errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

CUT = "[cut]"

#: Characters of a value. A message's body is longer, unless it says little.
MAX_TEXT = 1_000
#: Of a traceback, whose end says most.
MAX_TRACEBACK = 16_000
#: Of a longer text than this, both ends are looked at.
MAX_LOOKED_AT = 100_000
#: Values in a list or an object (all ids of a batch), and how deep these are looked into.
MAX_VALUES = 200
MAX_DEPTH = 4

#: A secret that is shorter is a word (`admin`, `test`) that texts have for other reasons.
MIN_SECRET = 6

#: What names a secret, whether a field or a word before `=` or `:` in a text.
_WORDS = ("passw", "secret", "token", "signature", "credential", "authorization", "cookie", "api_key")
_NAMED = re.compile(
    rf"((?:{'|'.join(_WORDS)})[\w-]{{0,30}}['\"]?\s*[=:]\s*['\"]?(?:basic |bearer )?)"
    r"([^\s'\"&,;)}\]]+)",
    re.IGNORECASE,
)
#: What is no secret, whatever its name: hints say which switch to set.
_SWITCHED = frozenset(("0", "1", "on", "off", "true", "false", "yes", "no", "none", "null"))
#: How a sentence goes on after a name and a colon.
_SENTENCE = re.compile(
    "is|are|was|were|not|must|may|can|cannot|should|has|have"
    "|missing|invalid|expired|empty|unset|unknown|required|refused|wrong"
)
#: Letters of what a parser may have found in the wrong place: `unexpected token: EOF`.
_MAX_SYMBOL = 8
_UNEXPECTED = "unexpected "

#: Each with a sign without which a text has none of them (searching for it costs next to nothing), and
#: with what stands in its place.
_PATTERNS = (
    ("://", re.compile(r"(\w://[^\s/@:]*):[^\s/]+@"), rf"\1:{CUT}@"),  # a password in a URL
    (" ", re.compile(r"\b(basic|bearer)\s+[\w.~+/=-]{16,}", re.IGNORECASE), rf"\1 {CUT}"),
    ("A", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), CUT),  # the id of an AWS key
    ("hooks.", re.compile(r"(hooks\.slack\.com/\w+/)\S+"), rf"\1{CUT}"),
    # What PostgreSQL adds to an error: the row, and with it what a message says.
    ("DETAIL", re.compile(r"(DETAIL:\s+\w+)[^\n]*"), rf"\1 {CUT}"),
)


@lru_cache(1_000)
def _names_secret(name: str) -> bool:
    return any(word in name.lower() for word in _WORDS)


class Redactor:
    """Cleans texts and values of these secrets, and of what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {secret for secret in secrets if len(secret) >= MIN_SECRET}
        # The longest first: one may be the beginning of another.
        self._secrets = sorted(found, key=len, reverse=True)

    def text(self, text: str, most: int = MAX_TEXT) -> str:
        """Return a text without secrets, and cut in its middle where it is too long."""
        left_out = 0
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, CUT)
        if len(text) > MAX_LOOKED_AT:
            beginning, end = _both_ends(text)
            left_out = len(text) - len(beginning) - len(end)
            text = _joined(beginning, left_out, end)
        for sign, pattern, replacement in _PATTERNS:
            if sign in text:
                text = pattern.sub(replacement, text)
        lowered = text.lower()
        if any(word in lowered for word in _WORDS):
            text = _NAMED.sub(_cut_unless_harmless, text)
        if len(text) <= most:
            return text
        half = most // 2
        return _joined(text[:half], len(text) - 2 * half + left_out, text[-half:])

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a value as JSON can say it: bounded in every way, without secrets."""
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, str):
            return self.text(value)
        if depth < MAX_DEPTH:
            if isinstance(value, Mapping):
                items = list(value.items())[:MAX_VALUES]
                return {
                    self.text(str(key)): self.named(str(key), each, depth + 1) for key, each in items
                }
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self.value(each, depth + 1) for each in list(value)[:MAX_VALUES]]
        return self.text(_said(lambda: str(value)))

    def named(self, name: str, value: Any, depth: int = 0) -> Any:
        """The same of a value that has a name, which may say enough."""
        secret = value and not isinstance(value, bool) and _names_secret(name)
        return CUT if secret else self.value(value, depth)


def _cut_unless_harmless(match: re.Match[str]) -> str:
    before, value = match.groups()
    word = value.rstrip(".!?").lower()
    harmless = word in _SWITCHED or not any(character.isalnum() for character in word)
    if before.endswith(": "):
        harmless = harmless or bool(_SENTENCE.fullmatch(word)) or _is_symbol(match, word)
    return match[0] if harmless else before + CUT


def _is_symbol(match: re.Match[str], word: str) -> bool:
    before = match.string[max(0, match.start() - len(_UNEXPECTED)) : match.start()]
    parsed = match[1].lower() == "token: " and before.lower() == _UNEXPECTED
    return parsed and word.isalpha() and len(word) <= _MAX_SYMBOL


def _both_ends(text: str) -> tuple[str, str]:
    """Return beginning and end of a long text, without what was torn: half of what looks like a secret
    looks like none. So the beginning ends with a word, and the end begins with a line."""
    half = MAX_LOOKED_AT // 2
    beginning, end = text[:half], text[-half:]
    words = max(beginning.rfind(" "), beginning.rfind("\n")) + 1
    line = (end.find("\n") + 1) or half
    return beginning[:words], end[line:]


def _joined(beginning: str, left_out: int, end: str) -> str:
    return f"{beginning} … {left_out} characters … {end}"


def _said(say: Callable[[], str]) -> str:
    try:
        return say()
    except Exception as error:  # a stranger's object, which must not cost the entry
        return f"<{type(error).__name__}>"
