"""How full a queue was, as SVG: no script, no inline style, so that the strictest policy shows it.

Their classes are those of harvest/static/harvest/admin.css.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

#: The picture's own units: the page stretches it to the room that there is. What is written beside it
#: is not in it, so that it has the size of other text.
WIDTH, HEIGHT, MARGIN = 640, 80, 2

Point = tuple[datetime, int]


def depth_chart(
    name: str, points: Iterable[Point], since: datetime, until: datetime, gap: timedelta
) -> SafeString:
    """Return a line of how full something was: ``points`` are in order of time.

    Where nothing was read for longer than ``gap`` the line is broken, rather than drawn through what
    nobody knows. The highest count stands above it, beginning and end below.
    """
    seen = [(at, count) for at, count in points if since <= at <= until]
    top = max((count for _at, count in seen), default=0)
    span = (until - since).total_seconds()

    def place(point: Point) -> str:
        x = MARGIN + (point[0] - since).total_seconds() / span * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - point[1] / max(top, 1) * (HEIGHT - 2 * MARGIN)
        return f"{x:.1f},{y:.1f}"

    lines = format_html_join(
        "",
        '<polyline class="depth-line" points="{}"/>',
        ((" ".join(map(place, _drawn(part))),) for part in _unbroken(seen, gap)),
    )
    label = _("%(name)s: at most %(top)d, %(now)s now") % {
        "name": name,
        "top": top,
        "now": seen[-1][1] if seen else _("nothing known"),
    }
    # Not the class "chart", which the theme's script takes for a canvas of its own.
    return format_html(
        '<figure class="depth"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<line class="depth-axis" x1="0" x2="{}" y1="{}" y2="{}"/>{}</svg>'
        '<div class="depth-times"><span>{}</span><span>{}</span></div></figure>',
        _("At most %d") % top,
        WIDTH, HEIGHT, label,
        WIDTH, HEIGHT - MARGIN, HEIGHT - MARGIN, lines,
        _clock(since), _clock(until),
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
