"""Events, attempts and tasks of a run as rows of its page's tables, and as its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from harvest.admin import moments, parts, runtasks, timeline
from harvest.airflow_api import version_of
from harvest.airflowpages import log_page
from harvest.attempts import Attempt, Instance, known_index, known_try
from harvest.models import HarvestEvent, HarvestRun, RunChange
from harvest.strictjson import mend


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in one line. ``fragment`` is the address of what opens: its message and traceback."""

    at: SafeString | str
    look: SafeString
    task: str
    map_index: int | None
    try_words: str
    line: str
    log: SafeString | str
    page: str
    fragment: str
    mended: bool


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A task, or a mapped instance, by its newest attempt; ``earlier`` are the others, newest first."""

    map_index: int | None
    current: EventRow
    earlier: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A line of a run's history."""

    at: SafeString | str
    what: str
    before: str
    who: str
    note: str


@dataclass(frozen=True, slots=True)
class TaskShown:
    """A task in the table. Of a mapped one ``counts`` says how its instances stand."""

    name: str
    first_at: SafeString | str
    last_at: SafeString | str
    instance: InstanceRow | None
    mapped: int
    failed: int
    counts: str
    look: SafeString
    mapped_page: str
    failed_page: str


def event_rows(run: HarvestRun, events: Iterable[HarvestEvent]) -> list[EventRow]:
    return [_event_row(run, event) for event in events]


def instance_rows(run: HarvestRun, instances: Iterable[Instance[HarvestEvent]]) -> list[InstanceRow]:
    return [_instance_row(run, instance) for instance in instances]


def change_rows(changes: Iterable[RunChange]) -> list[ChangeRow]:
    return [
        ChangeRow(
            at=moments.moment(change.changed_at),
            what=_what(change),
            before=change.get_before_display() or parts.EMPTY,
            who=_who(change),
            note=change.note,
        )
        for change in changes
    ]


def task_rows(run: HarvestRun, found: runtasks.RunTasks) -> list[TaskShown]:
    page = reverse("admin:harvest_harvestrun_task", args=[run.pk])
    return [
        TaskShown(
            name=mend(row.task_id),
            first_at=moments.moment(row.first_at),
            last_at=moments.moment(row.last_at),
            instance=_instance_row(run, row.instance) if row.instance else None,
            mapped=row.mapped,
            failed=row.failed,
            counts=_counts(row),
            look=parts.failure_word(_("failed")) if row.failed else parts.success_word(_("went well")),
            mapped_page=f"{page}?{urlencode({'task': row.task_id})}",
            failed_page=f"{page}?{urlencode({'task': row.task_id, 'failed': 1})}",
        )
        for row in found.rows
    ]


def picture_of(found: runtasks.RunTasks) -> SafeString | None:
    """Return the picture of a run's tasks, or None where it has none."""
    if not found.rows:
        return None
    rows = [
        timeline.Row(
            name=row.task_id,
            note=_counts(row) if row.mapped else _tries(row.instance),
            bars=_bars(row),
            errors=[event.sns_timestamp for event in row.errors],
        )
        for row in found.rows
    ]
    return timeline.picture(
        rows,
        _("When the tasks were heard of"),
        _("One row a task, in the order of the table of tasks, which says the same."),
    )


def _what(change: RunChange) -> str:
    if change.confirmed:
        return _("confirmed: %s") % change.get_before_display()
    return str(change.get_kind_display())


def _who(change: RunChange) -> str:
    if change.kind in (RunChange.Kind.STALE, RunChange.Kind.LOST):
        return _("a sweep")
    if change.source == HarvestRun.StatusSource.PERSON:
        return str(change.user or _("a person who has no account any more"))
    return change.get_source_display()


def _event_row(run: HarvestRun, event: HarvestEvent, again: bool = False) -> EventRow:
    log = None
    if event.task_id:
        log = log_page(run.key, event.task_id, event.map_index, version_of(run.host))
    return EventRow(
        at=moments.moment(event.sns_timestamp),
        look=_look(event),
        task=event.task_id or _("(the run as a whole)"),
        map_index=known_index(event.map_index),
        try_words=_try_words(event.try_number, again) if event.task_id else "",
        line=runtasks.line_of(event),
        log=parts.external_link(log, _("log")),
        page=reverse("admin:harvest_harvestevent_change", args=[event.pk]),
        fragment=reverse("admin:harvest_harvestevent_message", args=[event.pk]),
        mended=bool(getattr(event, "mended", False)),
    )


def _instance_row(run: HarvestRun, instance: Instance[HarvestEvent]) -> InstanceRow:
    def row(attempt: Attempt[HarvestEvent]) -> list[EventRow]:
        return [_event_row(run, event, attempt.again) for event in attempt.events]

    current, *same_try = row(instance.current)
    earlier = [event for attempt in instance.earlier for event in row(attempt)]
    return InstanceRow(instance.map_index, current, [*same_try, *earlier])


def _look(event: HarvestEvent) -> SafeString:
    if event.outcome == HarvestRun.Status.FAILED:
        return parts.failure_word(_("failed"))
    if event.dag_level and event.outcome == HarvestRun.Status.RUNNING:
        return parts.warning_word(_("not said"))
    return parts.success_word(_("went well"))


def _try_words(try_number: int | None, again: bool) -> str:
    number = known_try(try_number)
    words = _("try %d") % number if number else _("a try that is not named")
    return _("%s, after the run had ended") % words if again else words


def _counts(row: runtasks.TaskRow) -> str:
    if not row.mapped:
        return ""
    whole = ngettext("%d mapped", "%d mapped", row.mapped) % row.mapped
    failed = ngettext("%d failed", "%d failed", row.failed) % row.failed
    return f"{whole}, {failed}" if row.failed else whole


def _tries(instance: Instance[HarvestEvent] | None) -> str:
    tries = len(instance.attempts) if instance else 0
    return ngettext("%d try", "%d tries", tries) % tries if tries > 1 else ""


def _bars(row: runtasks.TaskRow) -> list[timeline.Bar]:
    """A bar for each try of a task; one for all instances of a mapped one."""
    if row.mapped or row.instance is None:
        return [timeline.Bar(_counts(row), row.first_at, row.last_at, failed=row.failed > 0)]
    return [
        timeline.Bar(
            _try_words(attempt.try_number, attempt.again),
            attempt.first_at,
            attempt.last_at,
            attempt.failed,
            attempt.again,
        )
        for attempt in reversed(row.instance.attempts)
    ]
