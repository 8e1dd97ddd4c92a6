"""What of all that becomes of runs is news, and for whom. Pure.

A run that fails, goes stale or is lost is news, and so is it when that trouble has passed. Each is
told once: a task that fails, followed by others that still run and by others that fail, is one failure.
docs/notices.md has the rules in prose.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: A change is looked at when it is this old, and told if the run still stands so: where mapped tasks run
#: side by side, the failure of one is followed by what the others say.
SETTLE = timedelta(minutes=1)

#: What happened longer ago is history: a queue that was away for a weekend still has its failures told.
OLD = timedelta(days=3)


class Kind(StrEnum):
    """What people can be told of a run."""

    FAILED = "failed"
    RECOVERED = "recovered"
    STALE = "stale"
    LOST = "lost"

    @property
    def trouble(self) -> bool:
        return self is not Kind.RECOVERED


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands: ``word`` is one of the kinds of a change. ``since`` is when it happened, by the
    run's own events where they say so, or when it was found or decided."""

    word: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What was last told."""

    kind: Kind
    at: datetime


def stand(status: str, stale_since: datetime | None, lost_since: datetime | None) -> str:
    """Return how a run stands in one word. Only a run that runs can be lost or stale."""
    if status != "running":
        return status
    if lost_since is not None:
        return "lost"
    return "stale" if stale_since is not None else status


def find_news(
    changed_to: str, standing: Standing, told: Told | None, before: Told | None, now: datetime
) -> Kind | None:
    """Return what to tell of a change that has settled, or None where it is no news.

    ``told`` is what was last told of this run, ``before`` of earlier runs of the same DAG for the same
    collection: a run that succeeds where the one before it failed is a recovery, too.
    """
    if changed_to != standing.word or now - standing.since > OLD:
        return None
    if standing.word == "succeeded":
        last = told or before
        return Kind.RECOVERED if last is not None and last.kind.trouble else None
    if standing.word not in (Kind.FAILED, Kind.STALE, Kind.LOST):
        return None
    kind = Kind(standing.word)
    if told is not None and told.kind is kind:
        # A run that was heard of, and fell silent once more: that took hours, and is no flapping.
        again = kind is Kind.STALE and standing.since > told.at
        return kind if again else None
    return kind


@dataclass(frozen=True, slots=True)
class Interest:
    """What a subscription is about. An empty set of collections, campuses or DAGs stands for all."""

    kinds: frozenset[str]
    collection_ids: frozenset[int] = frozenset()
    campuses: frozenset[str] = frozenset()
    dag_ids: frozenset[str] = frozenset()

    def covers(
        self, kind: Kind, dag_id: str, collection_id: int | None, campuses: frozenset[str]
    ) -> bool:
        """Return whether news of this kind, about a run of this DAG and collection, is for it."""
        return (
            kind in self.kinds
            and (not self.dag_ids or dag_id in self.dag_ids)
            and (not self.collection_ids or collection_id in self.collection_ids)
            and (not self.campuses or not self.campuses.isdisjoint(campuses))
        )


#: Seconds until the next attempt, by the number of those that failed: about 15 hours in all.
_BACKOFF = (30, 120, 480, 1_800, 7_200, 21_600, 21_600)

#: After so many attempts a notice is given up.
MAX_ATTEMPTS = len(_BACKOFF) + 1

#: After so many notices given up in a row, a subscription is switched off.
MAX_GIVEN_UP = 5


def next_wait(attempts: int) -> timedelta | None:
    """Return how long to wait after so many failed attempts, or None where it is to be given up."""
    return timedelta(seconds=_BACKOFF[attempts - 1]) if attempts < MAX_ATTEMPTS else None
