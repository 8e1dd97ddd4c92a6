"""JSON as a tree that folds: made here, of ``<details>``, so that it needs no script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from harvest import limits
from harvest.admin import parts
from harvest.strictjson import mend

#: An object or array of no more values than this is open at first, below the outermost too.
FEW = 8

#: Beyond this level all is closed at first.
OPEN_LEVELS = 3


def tree(data: Any, whole: str = "../whole/") -> SafeString:
    """Return data as a tree of bounded size, or its beginning with a link to the whole."""
    room = _Room()
    shown = "".join(_value(data, room, 0))
    notice = parts.link_to_whole(_("Only the beginning is shown."), whole) if room.full else ""
    # Each piece of it was escaped where it was made.
    return mark_safe(f'<div class="json">{shown}</div>{notice}')  # noqa: S308


class _Room:
    """What a page has left for a tree: characters and values."""

    def __init__(self) -> None:
        self.characters = limits.MAX_SHOWN
        self.nodes = limits.MAX_NODES
        self.full = False

    def take(self, text: str) -> str:
        """Return the text, or what there is room for, escaped."""
        shown = text[: self.characters]
        self.characters -= len(shown)
        if len(shown) < len(text):
            self.full = True
            shown += "…"
        return escape(mend(shown))

    def next(self) -> bool:
        """Return whether there is room for one value more."""
        self.nodes -= 1
        if self.nodes < 0 or self.characters <= 0:
            self.full = True
        return not self.full


def _value(data: Any, room: _Room, level: int) -> Iterator[str]:
    if isinstance(data, dict):
        pairs = (
            (f'<span class="json-key">{room.take(key)}</span>: ', item) for key, item in data.items()
        )
        yield from _container(pairs, len(data), "{}", room, level)
    elif isinstance(data, list):
        numbered = (
            (f'<span class="json-index">{index}</span> ', item) for index, item in enumerate(data)
        )
        yield from _container(numbered, len(data), "[]", room, level)
    elif isinstance(data, str):
        yield f'<span class="json-text">{room.take(json.dumps(data, ensure_ascii=False))}</span>'
    else:
        yield f'<span class="json-plain">{room.take(json.dumps(data))}</span>'


def _container(
    labelled: Iterator[tuple[str, Any]], length: int, brackets: str, room: _Room, level: int
) -> Iterator[str]:
    if not length:
        yield brackets
        return
    count = ngettext("%d value", "%d values", length) % length
    is_open = " open" if level == 0 or (level < OPEN_LEVELS and length <= FEW) else ""
    yield f"<details{is_open}><summary>{brackets[0]}{count}{brackets[1]}</summary><ul>"
    for label, item in labelled:
        if not room.next():
            yield "<li>…</li>"
            break
        yield f"<li>{label}"
        yield from _value(item, room, level + 1)
        yield "</li>"
    yield "</ul></details>"
