"""A picture of when a run's tasks were heard of: SVG without styles or scripts of its own.

Each row is a link to its task in the table below, which says in text what its bars show: a screen reader
is told of them there. Colours are classes of harvest/static/harvest/admin.css. Times are told from the
run's beginning: they are the same in each zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from harvest.strictjson import mend

#: In units of the picture, which is as wide as there is room for.
WIDTH, LABELS, NOTES = 1000, 250, 130
ROW, TOP = 26, 30
LEFT, RIGHT = LABELS + 10, WIDTH - NOTES - 10

#: Characters of a name that there is room for; the table has it whole.
MAX_NAME = 34

#: Of these the first is taken that makes no more than so many steps.
STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400)
)
MAX_STEPS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """From the first to the last sign of ``what``: a try, or all instances of a mapped task."""

    what: str
    first_at: datetime
    last_at: datetime
    failed: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One task. ``errors`` are the moments at which an attempt was said to have failed."""

    name: str
    note: str
    bars: Sequence[Bar]
    errors: Sequence[datetime] = ()


def picture(rows: Sequence[Row], title: str, description: str) -> SafeString:
    """Return the picture of at least one row."""
    moments = [at for row in rows for bar in row.bars for at in (bar.first_at, bar.last_at)]
    moments += [at for row in rows for at in row.errors]
    scale = _Scale(min(moments), max(moments))
    height = TOP + ROW * len(rows) + 8
    return format_html(
        '<svg class="timeline" role="group" aria-labelledby="timeline-title timeline-desc" '
        'viewBox="0 0 {} {}" xmlns="http://www.w3.org/2000/svg">'
        '<title id="timeline-title">{}</title><desc id="timeline-desc">{}</desc>{}{}</svg>',
        WIDTH,
        height,
        title,
        description,
        _grid(scale, height),
        format_html_join("", "{}", ((_row(row, number, scale),) for number, row in enumerate(rows))),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        return self.x_after(at - self.start)

    def x_after(self, since_start: timedelta) -> float:
        length = max((self.end - self.start).total_seconds(), 1.0)
        return round(LEFT + since_start.total_seconds() / length * (RIGHT - LEFT), 1)

    def told(self, at: datetime) -> str:
        return elapsed(at - self.start)

    def ticks(self) -> list[timedelta]:
        """Return where the lines of the grid are, from the start on. The end may be that of time."""
        length = self.end - self.start
        step = next((step for step in STEPS if length / step <= MAX_STEPS), length / MAX_STEPS)
        return [step * number for number in range(int(length / step) + 1)]


def _grid(scale: _Scale, height: int) -> SafeString:
    lines = format_html_join(
        "",
        '<line class="timeline-grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
        '<text class="timeline-tick" x="{0}" y="{3}">{4}</text>',
        ((scale.x_after(tick), TOP - 8, height, TOP - 14, elapsed(tick)) for tick in scale.ticks()),
    )
    return format_html('<g aria-hidden="true">{}</g>', lines)


def _row(row: Row, number: int, scale: _Scale) -> SafeString:
    top = TOP + ROW * number
    name = row.name if len(row.name) <= MAX_NAME else row.name[: MAX_NAME - 1] + "…"
    bars = format_html_join(
        "",
        '<rect class="timeline-bar{}" x="{}" y="{}" width="{}" height="{}" rx="2">'
        "<title>{}</title></rect>",
        (
            (
                _look(bar),
                round(scale.x(bar.first_at) - 2, 1),
                top + 5,
                _width(bar, scale),
                ROW - 12,
                _told(bar, scale),
            )
            for bar in row.bars
        ),
    )
    errors = format_html_join(
        "",
        '<path class="timeline-error" d="M{} {}l8 8m0-8l-8 8"><title>{}</title></path>',
        ((scale.x(at) - 4, top + 8, _("an error, at %s") % scale.told(at)) for at in row.errors),
    )
    return format_html(
        '<a href="#task-{}" aria-label="{}"><text class="timeline-name" x="{}" y="{}">{}</text>'
        '<g aria-hidden="true">{}{}</g><text class="timeline-note" x="{}" y="{}">{}</text></a>',
        number + 1,
        ", ".join(filter(None, (mend(row.name), row.note))),
        LABELS,
        top + 17,
        mend(name),
        bars,
        errors,
        RIGHT + 12,
        top + 17,
        row.note,
    )


def _look(bar: Bar) -> str:
    return (" timeline-failed" if bar.failed else "") + (" timeline-again" if bar.again else "")


def _told(bar: Bar, scale: _Scale) -> str:
    """Return in words what a bar shows, for who points at it."""
    start, end = scale.told(bar.first_at), scale.told(bar.last_at)
    when = (
        _("at %s") % start if start == end else _("%(start)s to %(end)s") % {"start": start, "end": end}
    )
    return ", ".join(filter(None, (bar.what, when, _("failed") if bar.failed else "")))


def _width(bar: Bar, scale: _Scale) -> float:
    """What has one sign only is seen, too."""
    return round(max(scale.x(bar.last_at) - scale.x(bar.first_at), 0) + 4, 1)


def elapsed(length: timedelta) -> str:
    """Return a length of time in the two largest units that it has, as "1 h 5 min"."""
    seconds = int(length.total_seconds())
    units = ((86400, _("d")), (3600, _("h")), (60, _("min")), (1, _("s")))
    parts = []
    for size, unit in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"0 {_('s')}"
