"""Charts as SVG, made here: no script, no inline style. Colours are of harvest/static/harvest/admin.css.

Each has a title and a description for who can't see it; the page puts a table of the same numbers
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

#: Units of the drawing, which scales to the room that it has: from half its size on a phone to twice.
#: The style sheet counters that for the text, which has room here for its largest.
WIDTH, HEIGHT = 480, 170
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 28

#: What a chart of queues shows.
SPAN = timedelta(days=1)

#: A queue is read every five minutes. Of a longer gap between two readings nobody knows anything.
GAP = timedelta(minutes=15)

Point = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Bar:
    """One column: its label, and a number for each series, from the bottom up."""

    label: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, and points (x from 0 to 1, number) in the order of x."""

    name: str
    points: tuple[Point, ...]


def stacked_bars(
    name: str, title: str, description: str, series: Sequence[tuple[str, str]], bars: Sequence[Bar]
) -> SafeString:
    """Return columns of stacked numbers. ``series`` gives each a look and a word; ``name`` is an id."""
    top = ceiling(max((sum(bar.values) for bar in bars), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    parts = []
    for index, bar in enumerate(bars):
        x, height = LEFT + index * step, 0
        for (look, word), value in zip(series, bar.values, strict=True):
            if value:
                y, size = _y(height + value, top), _y(0, top) - _y(value, top)
                tip = escape(f"{bar.label}: {value} {word}")
                parts.append(
                    f'<rect class="chart-{escape(look)}" x="{x + step * 0.12:.1f}" y="{y:.1f}" '
                    f'width="{step * 0.76:.1f}" height="{size:.1f}"><title>{tip}</title></rect>'
                )
                height += value
        if index % max(len(bars) // 5, 1) == 0:
            parts.append(_label(x + step / 2, escape(bar.label)))
    return _svg(name, title, description, top, parts)


def depths(
    name: str, title: str, readings: Mapping[str, Sequence[tuple[datetime, int]]], now: datetime
) -> SafeString:
    """Return how many messages waited in the day before ``now``: each queue's readings, in order."""
    since = now - SPAN
    drawn = [
        Line(queue, tuple(((at - since) / SPAN, depth) for at, depth in points))
        for queue, points in sorted(readings.items())
    ]
    told = "; ".join(
        _("%(queue)s: %(now)d wait, %(most)d at most")
        % {"queue": queue, "now": points[-1][1], "most": max(depth for _at, depth in points)}
        for queue, points in sorted(readings.items())
    )
    labels = [(0.0, _("24 hours ago")), (0.5, _("12 hours ago")), (1.0, _("now"))]
    return lines(name, title, told, drawn, labels, GAP / SPAN)


def lines(
    name: str,
    title: str,
    description: str,
    drawn: Sequence[Line],
    labels: Sequence[tuple[float, str]],
    gap: float,
) -> SafeString:
    """Return numbers over time, each line with a look of its own. ``labels`` stand at x from 0 to 1.

    Where there is no point for longer than ``gap``, of x, a line is broken, rather than drawn through
    what nobody knows.
    """
    top = ceiling(max((value for line in drawn for _, value in line.points), default=0))
    parts = []
    for index, line in enumerate(drawn):
        for part in _unbroken(line.points, gap):
            places = [(_x(x), _y(value, top)) for x, value in part]
            if len(places) == 1:  # a line needs two ends: these make a dot
                [(x, y)] = places
                places = [(x - 2, y), (x + 2, y)]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline class="chart-line chart-line-{index % 4}" points="{points}">'
                f"<title>{escape(line.name)}</title></polyline>"
            )
    for at, word in labels:
        anchor = "start" if at == 0 else "end" if at == 1 else "middle"
        parts.append(_label(_x(at), escape(word), anchor))
    return _svg(name, title, description, top, parts)


def ceiling(value: int) -> int:
    """Return a round number that is no smaller: where an axis ends. It has a whole half."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if value <= step * scale:
                return step * scale
        scale *= 10


def short(value: int) -> str:
    """Return a number of an axis in few characters: 5000 is 5k. Those of :func:`ceiling` stay exact."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value // size}{letter}"
    return str(value)


def _unbroken(points: Sequence[Point], gap: float) -> Iterator[Sequence[Point]]:
    start = 0
    for index in range(1, len(points) + 1):
        if index == len(points) or points[index][0] - points[index - 1][0] > gap:
            yield points[start:index]
            start = index


def _svg(name: str, title: str, description: str, top: int, parts: Sequence[str]) -> SafeString:
    grid = "".join(
        f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="chart-text" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
        f"{short(value)}</text>"
        for value, y in ((value, _y(value, top)) for value in (0, top // 2, top))
    )
    return mark_safe(  # noqa: S308 - whatever is given is escaped, here and above
        f'<svg class="drawing" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
        f"{grid}{''.join(parts)}</svg>"
    )


def _label(x: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="chart-text" x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">{text}</text>'


def _x(share: float) -> float:
    return LEFT + min(max(share, 0), 1) * (WIDTH - LEFT - RIGHT)


def _y(value: int, top: int) -> float:
    return TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM)
