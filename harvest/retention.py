"""What is kept for a while only, and letting it go: in slices, each a short transaction of its own.

Events and runs stay for ever, and so do rejected messages that nobody has seen to. Each slice is found
by an index, costs the same however large the table is, and leaves alone what others hold locked: it may
be stopped at any moment, and run twice at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet
from django_celery_results.models import TaskResult

from harvest import recording
from harvest.models import HarvestEvent, Notice, QueueReading, RejectedMessage

#: Rows of one transaction.
SLICE = 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """``old`` takes a moment and finds the rows from before it, by an index, the oldest first.
    ``setting`` is the name of the setting that says how long they are kept; None: no longer than that.
    """

    what: str
    setting: str | None
    old: Callable[[datetime], QuerySet[Any]]
    let_go: Callable[[Collection[Any]], None]

    @property
    def kept(self) -> timedelta:
        """How long rows are kept."""
        if self.setting is None:
            return timedelta(0)
        kept: timedelta = getattr(settings, self.setting)
        return kept

    def take_slice(self, now: datetime) -> int:
        """Let go of the oldest rows that are too old, of a slice of them. Return how many it took."""
        with transaction.atomic():
            rows = self.old(now - self.kept).select_for_update(skip_locked=True)
            keys = list(rows.values_list("pk", flat=True)[:SLICE])
            self.let_go(keys)
        return len(keys)


@dataclass(frozen=True, slots=True)
class Slice:
    """How many rows of a rule one transaction has let go."""

    rule: Rule
    rows: int


def _envelopes(before: datetime) -> QuerySet[HarvestEvent]:
    return HarvestEvent.objects.filter(has_envelopes=True, recorded_at__lt=before).order_by(
        "recorded_at"
    )


def _results(before: datetime) -> QuerySet[Any]:
    results: QuerySet[Any] = TaskResult.objects.filter(date_done__lt=before).order_by("date_done")
    return results


def _delete_results(keys: Collection[int]) -> None:
    TaskResult.objects.filter(pk__in=keys).delete()


def _readings(before: datetime) -> QuerySet[QueueReading]:
    return QueueReading.objects.filter(read_at__lt=before).order_by("read_at")


def _delete_readings(keys: Collection[int]) -> None:
    QueueReading.objects.filter(pk__in=keys).delete()


def _replayed(before: datetime) -> QuerySet[RejectedMessage]:
    replayed = RejectedMessage.objects.filter(replayed_at__isnull=False, replayed_at__lt=before)
    return replayed.order_by("replayed_at")


def _notices(before: datetime) -> QuerySet[Notice]:
    """One that waits is still to be sent, however long that has taken."""
    told = Notice.objects.exclude(state=Notice.State.WAITING)
    return told.filter(created_at__lt=before).order_by("created_at")


def _delete_notices(keys: Collection[int]) -> None:
    Notice.objects.filter(pk__in=keys).delete()


def _sessions(before: datetime) -> QuerySet[Session]:
    """Logins that have ended, to which nobody comes back. Django leaves them for a command to remove."""
    return Session.objects.filter(expire_date__lt=before).order_by("expire_date")


def _delete_sessions(keys: Collection[str]) -> None:
    Session.objects.filter(pk__in=keys).delete()


ENVELOPES = Rule("raw envelopes of events", "RETAIN_ENVELOPES", _envelopes, recording.empty_envelopes)
RESULTS = Rule("task results", "RETAIN_RESULTS", _results, _delete_results)
READINGS = Rule("queue readings", "RETAIN_READINGS", _readings, _delete_readings)
REPLAYED = Rule("replayed rejected messages", "RETAIN_REPLAYED", _replayed, recording.delete_rejected)
NOTICES = Rule("notices", "RETAIN_NOTICES", _notices, _delete_notices)
SESSIONS = Rule("sessions that have ended", None, _sessions, _delete_sessions)

#: The quickest first, so that what is large holds up nothing.
RULES = (READINGS, SESSIONS, NOTICES, REPLAYED, RESULTS, ENVELOPES)


def prune(now: datetime, rules: Collection[Rule] = RULES) -> Iterator[Slice]:
    """Let go of all that is too old. Yield after each transaction: who stops asking stops it."""
    for rule in rules:
        rows = SLICE
        while rows == SLICE:
            rows = rule.take_slice(now)
            yield Slice(rule, rows)
