"""Charts as SVG, made here: no script, no inline style. Colours are of harvest/static/harvest/admin.css.

Each has a title and a description for who can't see it; the page puts a table of the same numbers
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Units of the drawing, which scales to the room that it has.
WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One column: its label, and a number for each series, from the bottom up."""

    label: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, and points (x from 0 to 1, number) in the order of x."""

    name: str
    points: tuple[tuple[float, int], ...]


def stacked_bars(
    name: str, title: str, description: str, series: Sequence[tuple[str, str]], bars: Sequence[Bar]
) -> str:
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


def lines(
    name: str, title: str, description: str, drawn: Sequence[Line], labels: Sequence[tuple[float, str]]
) -> str:
    """Return numbers over time, each line with a look of its own. ``labels`` stand at x from 0 to 1."""
    top = ceiling(max((value for line in drawn for _, value in line.points), default=0))
    parts = []
    for index, line in enumerate(drawn):
        points = " ".join(f"{_x(x):.1f},{_y(value, top):.1f}" for x, value in line.points)
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


def _svg(name: str, title: str, description: str, top: int, parts: Sequence[str]) -> str:
    grid = "".join(
        f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="chart-text" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
        for value, y in ((value, _y(value, top)) for value in (0, top // 2, top))
    )
    return (
        f'<svg class="drawing" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
        f"{grid}{''.join(parts)}</svg>"
    )


def _label(x: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="chart-text" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'


def _x(share: float) -> float:
    return LEFT + min(max(share, 0), 1) * (WIDTH - LEFT - RIGHT)


def _y(value: int, top: int) -> float:
    return TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM)
