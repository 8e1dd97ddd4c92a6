"""What the tables hold, beside what was published, the status rule and the queues."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from bench.figures import Figure

#: How long after it was due a sweep may find a run stale: it comes twice a minute.
LATE = timedelta(seconds=90)


def counts() -> dict[str, int]:
    """Return how many runs, events and rejected messages there are."""
    from harvest.models import HarvestEvent, HarvestRun, RejectedMessage

    return {
        "runs": HarvestRun.objects.count(),
        "events": HarvestEvent.objects.count(),
        "rejected": RejectedMessage.objects.count(),
    }


def is_settled() -> bool:
    """Return whether all is recorded and told: empty queues, and no run that waits for its status."""
    from harvest.models import HarvestRun
    from tests.broker.wire import Wire

    return Wire().is_empty() and not HarvestRun.objects.exclude(recompute_due_at=None).exists()


def figures(published: Mapping[str, int]) -> list[Figure]:
    """Hold the tables against what the demo says that it published."""
    from django_celery_results.models import TaskResult

    stored = counts()
    # A run that was cut off before its first event is in no table.
    missing = []
    for what in ("events", "rejected"):
        wrong = abs(stored[what] - published[what])
        missing.append(Figure(f"tables: {what} published", published[what]))
        missing.append(Figure(f"tables: {what} too few or too many", wrong, at_most=0))
    return [
        Figure("tables: runs", stored["runs"]),
        *missing,
        Figure("tables: publications that failed", published["failures"], at_most=0),
        Figure("tables: runs whose status is not the rule's", len(wrong_statuses()), at_most=0),
        Figure("tables: silent runs that are not stale", len(unnoticed()), at_most=0),
        Figure("tables: task results", TaskResult.objects.count()),
        Figure(
            "tables: task results that are no success",
            TaskResult.objects.exclude(status="SUCCESS").count(),
            at_most=0,
        ),
    ]


def wrong_statuses() -> list[str]:
    """Return the runs that the pure rule, over their stored events, says something else of."""
    from harvest.models import HarvestRun
    from harvest.status import run_status

    found = []
    for run in HarvestRun.objects.prefetch_related("events"):
        events = list(run.events.all())
        rule = run_status(events)
        if not events or run.status != rule.value or run.status_source != HarvestRun.StatusSource.EVENTS:
            found.append(f"run {run.pk} is {run.status}, by the rule {rule.value}")
    return found


def unnoticed() -> list[str]:
    """Return the running runs that have long been silent, and are not stale."""
    from django.utils import timezone

    from harvest.models import HarvestRun
    from harvest.recording.runs import stale_after

    silent = HarvestRun.objects.silent(stale_after(), timezone.now() - LATE)
    return [f"run {run.pk}" for run in silent.filter(stale_since=None)]
