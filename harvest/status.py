"""The status rule: what the events of a run say together.

Source: the status rule of the message contract (docs/message-contract.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from harvest.airflow import Outcome


class Ordered(Protocol):
    """What the rule reads of an event: of a parsed one, or of a stored one."""

    @property
    def sns_timestamp(self) -> datetime: ...
    @property
    def dag_level(self) -> bool: ...
    @property
    def message_id(self) -> str: ...
    @property
    def outcome(self) -> str: ...


E = TypeVar("E", bound=Ordered)


def order(event: Ordered) -> tuple[datetime, bool, str]:
    """Return the key by which the events of a run are ordered, oldest first.

    Of equal timestamps the dag-level event is the newer, then the larger message id, so that the
    order depends on nothing but the set of events.
    """
    return (event.sns_timestamp, event.dag_level, event.message_id)


def newest_event(events: Iterable[E]) -> E | None:
    """Return the event that decides, or None where there is none."""
    return max(events, key=order, default=None)


def run_status(events: Iterable[Ordered]) -> Outcome:
    """Return the status that a run's events give: the newest decides. Without any it is running."""
    newest = newest_event(events)
    return Outcome.RUNNING if newest is None else Outcome(newest.outcome)


@dataclass(frozen=True, slots=True)
class StaleAfter:
    """How long a running run may be silent before it is stale, with exceptions for single DAGs."""

    default: timedelta
    by_dag: Mapping[str, timedelta] = field(default_factory=dict)

    def of(self, dag_id: str) -> timedelta:
        return self.by_dag.get(dag_id, self.default)

    def silent_at(self, dag_id: str, last_heard: datetime) -> datetime | None:
        """Return when a running run of this DAG has been silent for too long, should nothing more come.

        None where time ends before: an event may say any moment.
        """
        try:
            return last_heard + self.of(dag_id)
        except OverflowError:
            return None

    def is_stale(self, dag_id: str, last_heard: datetime, now: datetime) -> bool:
        """Return whether a running run of this DAG has been silent for too long."""
        return now - last_heard >= self.of(dag_id)
