"""What a run's page says of its tasks: by as many queries and rows as a page has room for, not as it has
events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, Exists, Max, Min, OuterRef, Q, QuerySet, TextField, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left, Right
from django.utils.functional import cached_property

from harvest import limits
from harvest.admin import parts
from harvest.attempts import Instance, tasks_of
from harvest.models import HarvestEvent, HarvestRun

NOT_MAPPED = Q(map_index=None) | Q(map_index__lt=0)
MAPPED = Q(map_index__gte=0)

#: What is read of an event that is shown in one line.
COLUMNS = (
    "message_id",
    "harvest_run_id",
    "sns_timestamp",
    "task_id",
    "map_index",
    "try_number",
    "error",
    "dag_level",
    "outcome",
)


@dataclass(slots=True)
class TaskRow:
    """A task on a run's page.

    ``instance`` tells of it where it is not mapped. Of a mapped one there are numbers only: it has
    ``mapped`` instances, of which ``failed`` did in their newest attempt. ``errors`` are those of the
    run's newest that are of this task.
    """

    task_id: str
    first_at: datetime
    last_at: datetime
    events: int
    mapped: int
    not_mapped: int
    failed: int = 0
    instance: Instance[HarvestEvent] | None = None
    errors: list[HarvestEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunTasks:
    """A page of a run's tasks: first those that failed in their newest attempt, then the others, each by
    its first event. ``more``: there is another page.

    ``errors`` are the newest of the run, also those of the run as a whole. Each has ``mended``: a later
    attempt of the same is known.
    """

    rows: Sequence[TaskRow]
    more: bool
    errors: Sequence[HarvestEvent]


def tasks_of_run(run: HarvestRun, page: int = 1) -> RunTasks:
    """Return what a page of a run, from 1, says of its tasks, by four queries of bounded answers."""
    failed = dict(_failed(run))
    rows = {group["task_id"]: TaskRow(**group) for group in _groups(run, list(failed), page)}
    for task_id, row in rows.items():
        row.failed = failed.get(task_id, 0)
    for task in tasks_of(_told(run, rows.values())):
        rows[task.task_id].instance = task.instances[0]
    errors = list(
        with_line(run.events.filter(error=True))
        .annotate(mended=_is_mended())
        .order_by("-sns_timestamp", "-message_id")[: limits.MAX_ERRORS]
    )
    for event in errors:
        if event.task_id in rows:
            rows[event.task_id].errors.append(event)
    shown = list(rows.values())
    return RunTasks(shown[: limits.MAX_TASKS], len(shown) > limits.MAX_TASKS, errors)


def _groups(run: HarvestRun, failed: Sequence[Any], page: int) -> Iterable[Any]:
    """Return the numbers of each task of a page, and those of one more where there is another page."""
    grouped = run.events.filter(task_id__isnull=False).order_by().values("task_id")
    counted = grouped.annotate(
        first_at=Min("sns_timestamp"),
        last_at=Max("sns_timestamp"),
        events=Count("*"),
        mapped=Count("map_index", filter=MAPPED, distinct=True),
        not_mapped=Count("sns_timestamp", filter=NOT_MAPPED),
    )
    failed_first = Case(When(task_id__in=failed, then=0), default=1)
    start = (page - 1) * limits.MAX_TASKS
    return counted.order_by(failed_first, "first_at", "task_id")[start : start + limits.MAX_TASKS + 1]


def _failed(run: HarvestRun) -> Iterable[tuple[Any, int]]:
    """Return the tasks that failed in their newest attempt, each with how many mapped instances did."""
    failed = run.events.filter(~_is_mended(), error=True, task_id__isnull=False)
    counted = (
        failed.order_by()
        .values("task_id")
        .annotate(number=Count("map_index", filter=MAPPED, distinct=True))
    )
    return counted.order_by("task_id").values_list("task_id", "number")[: limits.MAX_FAILED_TASKS]


def _told(run: HarvestRun, rows: Iterable[TaskRow]) -> list[HarvestEvent]:
    """Return the events of what is not mapped, and of the run as a whole: the newest of many."""
    simple = [row.task_id for row in rows if row.not_mapped]
    own = Q(task_id__in=simple) & NOT_MAPPED | Q(task_id=None, dag_level=True)
    events = with_line(run.events.filter(own)).order_by("-sns_timestamp", "-message_id")
    return list(events[: limits.MAX_ATTEMPTS])


@dataclass(frozen=True)
class MappedTask:
    """The instances of one mapped task of a run, by map index: a page of them, from 1."""

    run: HarvestRun
    task_id: str
    only_failed: bool
    page: int

    @property
    def more(self) -> bool:
        """Return whether there is another page."""
        return len(self._indexes) > limits.MAX_ROWS

    @cached_property
    def instances(self) -> Sequence[Instance[HarvestEvent]]:
        """The instances of this page, by their newest events where there are very many."""
        own = Q(task_id=self.task_id, map_index__in=self._indexes[: limits.MAX_ROWS])
        events = with_line(self.run.events.filter(own | Q(task_id=None, dag_level=True)))
        newest = events.order_by("-sns_timestamp", "-message_id")[: limits.MAX_ATTEMPTS]
        return [instance for task in tasks_of(newest) for instance in task.instances]

    @cached_property
    def _indexes(self) -> list[int | None]:
        """The map indexes of this page, and one more where there is another page."""
        events = self.run.events.filter(MAPPED, task_id=self.task_id)
        if self.only_failed:
            events = events.filter(~_is_mended(), error=True)
        found = events.order_by("map_index").values_list("map_index", flat=True).distinct()
        start = (self.page - 1) * limits.MAX_ROWS
        return list(found[start : start + limits.MAX_ROWS + 1])


def with_line(events: QuerySet[HarvestEvent]) -> QuerySet[HarvestEvent]:
    """Read of events what is shown in one line, see :func:`line_of`, and none of what may be large."""
    message = "rikolti_message"
    return events.annotate(
        exception=Right(KeyTextTransform("exception", message), limits.MAX_FETCHED),
        reason=Right(KeyTextTransform("reason", message), limits.MAX_FETCHED),
        beginning=Left(Cast(message, TextField()), limits.MAX_LINE * 2),
    ).only(*COLUMNS)


def line_of(event: HarvestEvent) -> str:
    """Return in one line what an event says: the last of its exception, the reason, how it begins."""
    for name in ("exception", "reason"):
        said = getattr(event, name, None)
        if said:
            return parts.one_line(said)
    return parts.one_line(parts.readable(getattr(event, "beginning", None) or "null"))


def _is_mended() -> Exists:
    """Return whether an event of the same task and map index was published later.

    Of those of one moment the later try is the later, as in harvest/attempts.py. Where neither says
    more, an error counts.
    """
    same = {name: OuterRef(name) for name in ("harvest_run", "task_id", "map_index")}
    # Rikolti gives -1 to what is not mapped, so that its errors are found as well.
    at_once = Q(sns_timestamp=OuterRef("sns_timestamp"), try_number__gt=OuterRef("try_number"))
    later = Q(sns_timestamp__gt=OuterRef("sns_timestamp")) | at_once
    return Exists(HarvestEvent.objects.filter(later, **same))
