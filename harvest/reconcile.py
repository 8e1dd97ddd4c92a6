"""Which runs need a look, and what is done with each: the safety net under the events.

It repairs what a lost task or a late collection or trigger left behind, and says of a run that fell
silent that it did.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain, islice, zip_longest

from django.db.models import F, Q, QuerySet

from harvest.models import HarvestRun
from harvest.recording import mark_stale
from harvest.recording.runs import stale_after

#: Runs looked at in one sweep, shared by its questions. The rest wait for the next, oldest first.
SLICE = 500

#: The task that recomputes a run follows the one that records its events at once. After this time
#: it is lost, or so late that doing its work does no harm.
RECOMPUTE_GRACE = timedelta(minutes=5)

#: A stale run changes by an event, which has a task of its own. The sweep only makes sure.
LOOK_AGAIN_AFTER = timedelta(hours=1)


def due_runs(now: datetime, limit: int = SLICE) -> list[int]:
    """Return the ids of the runs that need a look at this time, each once."""
    runs = HarvestRun.objects
    not_looked_at = Q(stale_since=None) | Q(reconciled_at__lte=now - LOOK_AGAIN_AFTER)
    questions: tuple[QuerySet[HarvestRun], ...] = (
        runs.overdue(now, RECOMPUTE_GRACE).order_by("recompute_due_at"),
        runs.ahead(now + RECOMPUTE_GRACE).order_by("reconciled_at"),
        runs.silent(stale_after(), now)
        .filter(not_looked_at)
        .order_by(F("reconciled_at").asc(nulls_first=True), "last_heard_at"),
        runs.unlinked().order_by("pk"),
        runs.untriggered().order_by("pk"),
    )
    answers = (question.values_list("pk", flat=True)[:limit] for question in questions)
    # In turn, so that none of the questions takes the whole slice for ever.
    turns = chain.from_iterable(zip_longest(*answers))
    return list(islice(dict.fromkeys(run_id for run_id in turns if run_id is not None), limit))


def look_at(run_id: int) -> str:
    """Bring one run up to date. Return what it is now, in words for the task's result."""
    run = mark_stale(run_id)
    if run is None:
        return "gone"
    return f"stale since {run.stale_since:%Y-%m-%d %H:%M:%S} UTC" if run.stale_since else run.status
