"""Charts, drawn here as SVG: no script and no inline style, so that the strictest policy shows them.

Their classes are those of harvest/static/harvest/admin.css.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

#: The coordinates' own units. The page stretches the picture to the room that there is.
WIDTH, HEIGHT = 640, 120
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 20, 20

Point = tuple[datetime, int]


def depth_chart(
    name: str, points: Iterable[Point], since: datetime, until: datetime, gap: timedelta
) -> SafeString:
    """Return a line of how full something was, in order of time.

    Where nothing was read for longer than ``gap`` the line is broken, rather than drawn through what
    nobody knows. Beginning, end and the highest count are written at the edges, the times in the
    viewer's zone.
    """
    seen = [(at, count) for at, count in points if since <= at <= until]
    top = max((count for _at, count in seen), default=0)
    span = (until - since).total_seconds()

    def place(point: Point) -> str:
        x = LEFT + (point[0] - since).total_seconds() / span * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - point[1] / max(top, 1) * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines = format_html_join(
        "",
        '<polyline class="chart-line" points="{}"/>',
        ((" ".join(map(place, _drawn(part))),) for part in _unbroken(seen, gap)),
    )
    label = _("%(name)s: at most %(top)d, %(now)s now") % {
        "name": name,
        "top": top,
        "now": seen[-1][1] if seen else _("nothing known"),
    }
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line class="chart-axis" x1="{}" x2="{}" y1="{}" y2="{}"/>{}'
        '<text class="chart-text" x="{}" y="12">{}</text>'
        '<text class="chart-text" x="{}" y="{}">{}</text>'
        '<text class="chart-text" x="{}" y="{}" text-anchor="end">{}</text></svg>',
        WIDTH, HEIGHT, label,
        LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM, lines,
        LEFT, _("at most %d") % top,
        LEFT, HEIGHT - 5, _clock(since),
        WIDTH - RIGHT, HEIGHT - 5, _clock(until),
    )  # fmt: skip


def _unbroken(points: Sequence[Point], gap: timedelta) -> Iterator[list[Point]]:
    part: list[Point] = []
    for point in points:
        if part and point[0] - part[-1][0] > gap:
            yield part
            part = []
        part.append(point)
    if part:
        yield part


def _drawn(part: Sequence[Point]) -> Sequence[Point]:
    """A line needs two ends: that of one reading is a dot, which the round caps of the line make."""
    return part if len(part) > 1 else [*part, *part]


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"
