"""The front page: what runs, what failed and why, and whether anybody has to do something.

It asks the same few questions however many runs there are, each of which an index answers, and reads no
more than :data:`MOST_RUNS` entries of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Model, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from harvest.admin import charts, live, moments, parts
from harvest.admin.longlists import count_up_to_reach
from harvest.models import HarvestRun, QueueReading, RejectedMessage
from harvest.renewal import is_asked_again

Status = HarvestRun.Status

DAYS = 30

#: Runs that the chart counts, the newest: a month of Rikolti's has some thousands.
MOST_RUNS = 50_000

#: Readings of a day: a handful of queues, each read every few minutes.
MOST_READINGS = 3_000

FAILURES = 10

#: From the bottom of a column up.
STACK = (Status.SUCCEEDED, Status.RUNNING, Status.FAILED)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the front page, and the list that it counts. ``look`` is that of a status."""

    label: str
    value: int
    url: str
    look: str

    @property
    def mark(self) -> SafeString | str:
        """The number in the look of its status, or plainly where there is none."""
        return parts.look(self.look, str(self.value)) if self.value else "0"


@dataclass(frozen=True, slots=True)
class Failure:
    run: HarvestRun
    collection: str
    why: str
    at: SafeString | str
    url: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a chart's table, with the list that it counts. ``said`` tells a number that is read out
    from the others."""

    text: str
    url: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and the same as a table: heads, then rows."""

    picture: SafeString
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the context of the admin's index what its viewer may see. The theme calls this."""
    now = timezone.now()
    may_runs, may_rejected, may_readings = (
        _may_view(request, model) for model in (HarvestRun, RejectedMessage, QueueReading)
    )
    numbers = [*(_run_numbers(now) if may_runs else ()), *(_rejected_numbers() if may_rejected else ())]
    return {
        **context,
        "frame": "harvest/live_page.html" if is_asked_again(request) else "admin/base.html",
        "live": live.PAGE,
        "numbers": numbers,
        "quiet": _quiet(numbers) if may_runs and may_rejected else "",
        "runs_chart": _runs_chart(now) if may_runs else None,
        "queues_chart": _queues_chart(now, linked=may_readings) if may_runs else None,
        "failures": _failures() if may_runs else None,
        "failed_url": _runs_url(status__exact=Status.FAILED),
        "at": moments.moment(now),
    }


def _may_view(request: HttpRequest, model: type[Model]) -> bool:
    name = model._meta.model_name
    return any(request.user.has_perm(f"harvest.{verb}_{name}") for verb in ("view", "change"))


def _runs_url(**query: str) -> str:
    return f"{reverse('admin:harvest_harvestrun_changelist')}?{urlencode(query)}"


def _run_numbers(now: datetime) -> Iterable[Number]:
    runs = HarvestRun.objects
    running = runs.filter(status=Status.RUNNING)
    silent = running.filter(Q(stale_since__isnull=False) | Q(lost_since__isnull=False))
    for label, rows, look, query in (
        (_running(count_up_to_reach(silent)), running, "running", {"status__exact": "running"}),
        (
            _("failed in the last 24 hours"),
            runs.filter(failed_since__gte=now - timedelta(hours=24)),
            "failed",
            {"failed": "24h"},
        ),
        (
            _("failed in the last 7 days"),
            runs.filter(failed_since__gte=now - timedelta(days=7)),
            "failed",
            {"failed": "7d"},
        ),
        (_("stale"), runs.filter(stale_since__isnull=False), "stale", {"standing": "stale"}),
        (_("lost"), runs.filter(lost_since__isnull=False), "lost", {"standing": "lost"}),
    ):
        yield Number(label, count_up_to_reach(rows), _runs_url(**query), look)


def _running(silent: int) -> str:
    if not silent:
        return _("running")
    return _("running, %s of them stale or lost") % silent


def _rejected_numbers() -> Iterable[Number]:
    url = reverse("admin:harvest_rejectedmessage_changelist") + "?state=waiting"
    waiting = count_up_to_reach(RejectedMessage.objects.filter(replayed_at=None))
    yield Number(_("rejected messages that wait"), waiting, url, "failed")


def _quiet(numbers: Iterable[Number]) -> str:
    if any(number.value for number in numbers):
        return ""
    return _("All is quiet: nothing runs, nothing has failed for a week, no message waits for you.")


# --- Failures -------------------------------------------------------------------------------------


def _failures() -> list[Failure]:
    failed = HarvestRun.objects.filter(failed_since__isnull=False).select_related("collection")
    rows = failed.defer("dag_run_conf", "airflow_note").order_by("-failed_since", "-pk")
    return [
        Failure(
            run=run,
            collection=str(run.collection) if run.collection else _collection_id(run),
            why=parts.why_failed(run),
            at=moments.moment(run.failed_since),
            url=reverse("admin:harvest_harvestrun_change", args=[run.pk]),
        )
        for run in rows[:FAILURES]
    ]


def _collection_id(run: HarvestRun) -> str:
    if run.conf_collection_id is None:
        return _("no collection")
    return _("%d, not in the registry") % run.conf_collection_id


# --- Charts ---------------------------------------------------------------------------------------


def _runs_chart(now: datetime) -> Chart:
    today = now.astimezone(UTC).date()
    first, tomorrow = today - timedelta(days=DAYS - 1), _start_of(today + timedelta(days=1))
    # An event may say any moment, and be of a day that is still to come.
    runs = HarvestRun.objects.filter(last_heard_at__gte=_start_of(first), last_heard_at__lt=tomorrow)
    newest = runs.order_by("-last_heard_at").values_list("last_heard_at", flat=True)
    note = ""
    for moment in newest[MOST_RUNS : MOST_RUNS + 1]:
        first = moment.astimezone(UTC).date() + timedelta(days=1)  # that day would not be whole
        runs = runs.filter(last_heard_at__gte=_start_of(first))
        note = _("Only days within the newest %d runs are shown.") % MOST_RUNS
    found: dict[date, dict[str, int]] = defaultdict(dict)
    by_day = runs.order_by().annotate(day=TruncDate("last_heard_at", tzinfo=UTC))
    counted = by_day.values("day", "status").annotate(number=Count("pk"))
    for day, status, number in counted.values_list("day", "status", "number"):
        found[day][status] = number
    days = [first + timedelta(days=index) for index in range((today - first).days + 1)]
    bars = [
        charts.Bar(f"{day:%m-%d}", tuple(found[day].get(status, 0) for status in STACK)) for day in days
    ]
    series = [(status.value, str(status.label)) for status in STACK]
    return Chart(
        charts.stacked_bars("runs-chart", _("Runs a day"), _told(found, days), series, bars),
        (_("day (UTC)"), *(word for _look, word in series)),
        tuple(_row(day, found[day]) for day in reversed(days)),
        note,
    )


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _told(found: Mapping[date, Mapping[str, int]], days: Iterable[date]) -> str:
    sums = [sum(found[day].get(status, 0) for day in days) for status in STACK]
    return _("In %(days)d days %(succeeded)d succeeded, %(running)d are running, %(failed)d failed.") % {
        "days": DAYS, "succeeded": sums[0], "running": sums[1], "failed": sums[2],
    }  # fmt: skip


def _row(day: date, numbers: Mapping[str, int]) -> tuple[Cell, ...]:
    text = day.isoformat()
    within = {"last_heard_at_from": text, "last_heard_at_to": text}
    return (
        Cell(text, _runs_url(**within)),
        *(
            Cell(
                str(numbers.get(status, 0)),
                _runs_url(**within, status__exact=status),
                f"{status.label}, {text}",
            )
            for status in STACK
        ),
    )


def _queues_chart(now: datetime, *, linked: bool) -> Chart | None:
    readings = QueueReading.objects.filter(Q(read_at__gte=now - charts.SPAN) & Q(read_at__lte=now))
    columns = readings.order_by("-read_at").values_list("queue", "read_at", "visible")
    points: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for queue, at, visible in reversed(columns[:MOST_READINGS]):
        points[queue].append((at, visible))
    if not points:
        return None
    return Chart(
        charts.depths("queues-chart", _("Messages that wait"), points, now),
        (_("queue"), _("now"), _("at most")),
        tuple(_depths_row(queue, points[queue], linked=linked) for queue in sorted(points)),
    )


def _depths_row(queue: str, points: Sequence[tuple[datetime, int]], *, linked: bool) -> tuple[Cell, ...]:
    """Return a queue's newest and largest number, each with the readings of the day that begin by it."""
    page = reverse("admin:harvest_queuereading_changelist")
    within = {"queue": queue, "read_at__gte": points[0][0].isoformat()}
    numbers: tuple[tuple[int, str, dict[str, str]], ...] = (
        (points[-1][1], _("now"), {}),
        (max(visible for _at, visible in points), _("at most"), {"o": "-3"}),  # by the third column
    )
    return (
        Cell(queue),
        *(
            Cell(
                str(number),
                f"{page}?{urlencode({**within, **order})}" if linked else "",
                f"{queue}, {word}",
            )
            for number, word, order in numbers
        ),
    )
