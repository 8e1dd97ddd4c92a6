"""How many tasks of a run are done, how many failed, and how many errors it has: counted as events are
stored, under the run's lock.

A fold would have to read all events of a run, each time. A batch reads its own events and, by an index,
what each of their tasks said last: it costs the same however many the run has. The counts follow from
the set of stored events, like everything that a run tells: what a task said last is its newest event,
and of several at one moment the error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Subquery

from harvest.models import HarvestEvent, HarvestRun
from harvest.models.events import task_index

#: A task of a run, one of those that it was mapped to.
Task = tuple[str, int]

#: When a task said something, and whether that was an error.
Word = tuple[datetime, bool]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored, and what its task had said before this moment's events, if it did."""

    run_id: int
    recorded_at: datetime
    task: Task | None
    word: Word
    word_before: Word | None


def read_stored(message_ids: Collection[str], now: datetime) -> list[StoredEvent]:
    """Return the stored events of these ids, in one query. The new ones were recorded at ``now``."""
    said_before = (
        HarvestEvent.objects.alias(index=task_index())
        .filter(
            harvest_run=OuterRef("harvest_run"), task_id=OuterRef("task_id"), index=OuterRef("index")
        )
        .exclude(recorded_at=now)
        .order_by("-sns_timestamp", "-error")
    )
    rows = (
        HarvestEvent.objects.filter(message_id__in=message_ids)
        .annotate(
            index=task_index(),
            at_before=Subquery(said_before.values("sns_timestamp")[:1]),
            error_before=Subquery(said_before.values("error")[:1]),
        )
        .order_by()
    )
    return [
        StoredEvent(
            run_id=run_id,
            recorded_at=recorded_at,
            task=None if task_id is None else (task_id, index),
            word=(at, error),
            word_before=None if at_before is None else (at_before, error_before),
        )
        for run_id, recorded_at, task_id, index, at, error, at_before, error_before in rows.values_list(
            "harvest_run_id",
            "recorded_at",
            "task_id",
            "index",
            "sns_timestamp",
            "error",
            "at_before",
            "error_before",
        )
    ]


def count(run: HarvestRun, new: Iterable[StoredEvent]) -> None:
    """Count events that were just stored with a locked run. The caller saves it."""
    before: dict[Task, Word | None] = {}
    after: dict[Task, Word] = {}
    for event in new:
        run.errors += event.word[1]
        if event.task is not None:
            before[event.task] = event.word_before
            words = (event.word, event.word_before, after.get(event.task))
            after[event.task] = max(word for word in words if word is not None)
    for task, (_, failed) in after.items():
        word = before[task]
        if word is not None:
            run.tasks_failed -= word[1]
            run.tasks_done -= not word[1]
        run.tasks_failed += failed
        run.tasks_done += not failed


def recount(run: HarvestRun) -> None:
    """Count all events of a locked run. The caller saves it.

    That reads them all: for when events change their run, which is rare.
    """
    run.errors = run.tasks_failed = run.tasks_done = 0
    newest: dict[Task, Word] = {}
    events = run.events.order_by().annotate(index=task_index())
    rows = events.values_list("task_id", "index", "sns_timestamp", "error")
    for task_id, index, at, error in rows.iterator():
        run.errors += error
        if task_id is not None:
            word = newest.get((task_id, index))
            newest[task_id, index] = (at, error) if word is None else max(word, (at, error))
    for _, failed in newest.values():
        run.tasks_failed += failed
        run.tasks_done += not failed
