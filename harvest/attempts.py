"""What a run's tasks did: events → tasks, each with its map indexes, each with its attempts.

An event tells of the end of an attempt: Rikolti publishes when a task went well, or failed for good.
The result depends on the set of events alone, not on their order or on copies.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from harvest.airflow import Outcome
from harvest.status import Ordered, order


class TaskEvent(Ordered, Protocol):
    """What is read of an event here, beyond what the status rule reads."""

    @property
    def task_id(self) -> str | None: ...
    @property
    def map_index(self) -> int | None: ...
    @property
    def try_number(self) -> int | None: ...
    @property
    def error(self) -> bool: ...


#: An event in what is returned, whatever it has besides; and one that is read.
T = TypeVar("T")
E = TypeVar("E", bound=TaskEvent)


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """One try of a task, or of one of its mapped instances.

    ``try_number`` is None where no event says which it was. ``again``: it was published after the run
    had said that it ended, as a task that was cleared does. ``failed`` is what the newest of its
    events says. ``events`` has one or more, newest first.
    """

    try_number: int | None
    again: bool
    failed: bool
    first_at: datetime
    last_at: datetime
    events: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class Instance(Generic[T]):
    """A task, or the part of a mapped one that has this index (None: not mapped). ``attempts`` has one
    or more, newest first."""

    map_index: int | None
    attempts: tuple[Attempt[T], ...]

    @property
    def current(self) -> Attempt[T]:
        return self.attempts[0]

    @property
    def earlier(self) -> tuple[Attempt[T], ...]:
        return self.attempts[1:]


@dataclass(frozen=True, slots=True)
class RunTask(Generic[T]):
    """A task of a run, with one instance or more: what is not mapped first, then by map index."""

    task_id: str
    instances: tuple[Instance[T], ...]


def tasks_of(events: Iterable[E]) -> tuple[RunTask[E], ...]:
    """Return a run's tasks in the order of the first event of each.

    Events of the run as a whole belong to no task; those that end it tell earlier attempts from what
    was cleared and ran again.
    """
    distinct = {event.message_id: event for event in events}.values()
    ends = sorted(order(event) for event in distinct if event.dag_level and _ends(event))
    tries: _Tries[E] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for event in sorted(distinct, key=order):
        if event.task_id is not None and not event.dag_level:
            # Try numbers go on when a task is cleared. Where they don't, or where none is said, the
            # end of the run tells the attempts apart.
            attempt = known_try(event.try_number), bisect(ends, order(event))
            tries[event.task_id][known_index(event.map_index)][attempt].append(event)
    return tuple(
        RunTask(
            task_id,
            tuple(
                Instance(index, _attempts(instances[index]))
                for index in sorted(instances, key=lambda index: -1 if index is None else index)
            ),
        )
        for task_id, instances in tries.items()
    )


def known_try(try_number: int | None) -> int | None:
    """Return which try it was, or None where that is not said: Airflow gives 0 for a killed task."""
    return try_number if try_number is not None and try_number > 0 else None


def known_index(map_index: int | None) -> int | None:
    """Return which mapped instance it was, or None where the task is not mapped, which -1 says too."""
    return map_index if map_index is not None and map_index >= 0 else None


#: Events, oldest first, by task, map index, and try and how often the run had ended before.
_Tries = defaultdict[str, defaultdict[int | None, defaultdict[tuple[int | None, int], list[E]]]]


def _ends(event: Ordered) -> bool:
    return event.outcome != Outcome.RUNNING


def _attempts(tries: dict[tuple[int | None, int], list[E]]) -> tuple[Attempt[E], ...]:
    # Of attempts that were told of at the same time the later try is the newer.
    newest_first = sorted(
        tries.items(),
        key=lambda item: (item[1][-1].sns_timestamp, item[0][0] or 0, item[1][-1].message_id),
        reverse=True,
    )
    return tuple(
        Attempt(
            try_number=try_number,
            again=ended > 0,
            failed=told[-1].error,
            first_at=told[0].sns_timestamp,
            last_at=told[-1].sns_timestamp,
            events=tuple(reversed(told)),
        )
        for (try_number, ended), told in newest_first
    )
