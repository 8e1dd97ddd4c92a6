"""History that is filled in: what another registry knew. It is believed, and no news to people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from harvest.airflow import Event, Outcome
from harvest.models import HarvestRun
from harvest.recording.changes import Standing, keep_changes
from harvest.recording.events import Recorded, record
from harvest.recording.identity import locate_old_run
from harvest.recording.runs import be_stale_quietly, link, recompute
from harvest.sns import SqsMessage

#: What a run says that has its status from there.
OLD_STATUS = "the status that the old registry had"


#: When a status was set that any event overrides.
_BEFORE_ALL_EVENTS = datetime(1970, 1, 1, tzinfo=UTC)


def fill_in_events(messages: Sequence[SqsMessage]) -> Recorded:
    """Store the messages of one run and let it tell of them, in one transaction. Raises as ``record``
    does."""
    with transaction.atomic():
        recorded = record(messages, trusted=True)
        if recorded.run_id is not None:
            recompute(recorded.run_id, quiet=True)
    return recorded


def fill_in_run(told: Event, outcome: Outcome, *, after_events: bool = False) -> tuple[int, bool]:
    """Make a run that is not known, and end one that here still runs, if it had ended there.

    ``told`` says what the run is, and no more. ``after_events``: all its events are stored, and only one
    published later overrides such an end; before, any does. Return the run's id, and whether it was
    made.
    """
    with transaction.atomic():
        run, made = locate_old_run(told)
        before, now = Standing.of(run), timezone.now()
        by_events = run.status_source == HarvestRun.StatusSource.EVENTS
        if outcome != Outcome.RUNNING and run.status == Outcome.RUNNING and by_events:
            run.status = HarvestRun.Status(outcome.value)
            run.status_source = HarvestRun.StatusSource.PERSON
            run.status_set_at = _BEFORE_ALL_EVENTS
            run.status_note = OLD_STATUS
            run.stale_since = run.look_again_at = None
        if after_events and run.status_set_at == _BEFORE_ALL_EVENTS:
            run.status_set_at = run.last_heard_at
        before = be_stale_quietly(run, before, now)
        link(run)
        run.save()
        keep_changes(run, before, run.last_heard_at, quiet=True)
    return run.pk, made
