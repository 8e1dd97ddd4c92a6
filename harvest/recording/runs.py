"""What a run tells: a fold over its stored events, under a lock on its row."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Right
from django.utils import timezone

from harvest import limits
from harvest.airflow import find_collection_id, find_target_version
from harvest.models import Collection, HarvestEvent, HarvestRun, HarvestTrigger
from harvest.recording.changes import Standing, keep_changes
from harvest.recording.ranking import largest, newest
from harvest.status import StaleAfter

logger = structlog.stdlib.get_logger(__name__)

#: Between looks at a stale run of which nothing new is learned.
FIRST_DISTANCE = timedelta(minutes=10)
LONGEST_DISTANCE = timedelta(days=1)
#: Errors of a run that are searched for an exception, newest first: a task's comes shortly before the
#: run's own, which has none.
SEARCHED_ERRORS = 10


def stale_after() -> StaleAfter:
    """Return the configured silence after which a running run is stale."""
    return StaleAfter(settings.STALE_AFTER, settings.STALE_AFTER_BY_DAG)


def recompute(run_id: int, *, quiet: bool = False) -> HarvestRun | None:
    """Make a run tell what its stored events say. Return it, or None where it is gone.

    ``quiet``: what changes is history that is filled in, and no news to people.
    """
    with transaction.atomic():
        run = HarvestRun.objects.select_for_update(of=("self",)).filter(pk=run_id).first()
        before = run.status if run is not None else ""
        if run is not None:
            fold(run, quiet=quiet)
    if run is not None and not quiet:
        logger.info("status_recomputed", run_id=run_id, status=run.status, changed=run.status != before)
    return run


def set_status(
    run_id: int, status: HarvestRun.Status | None, note: str = "", user: User | None = None
) -> None:
    """Set a run's status by a person's decision. It stands until an event is published later.

    None confirms the status that the run has by now.
    """
    with transaction.atomic():
        run = HarvestRun.objects.select_for_update(of=("self",)).get(pk=run_id)
        before, now = Standing.of(run), timezone.now()
        run.status = status or run.status
        run.status_source = HarvestRun.StatusSource.PERSON
        run.status_set_at = now
        run.status_set_by = user
        run.status_note = note
        check_silence(run, now)
        run.save()
        keep_changes(run, before, now, decided=True, user=user)


def mark_stale(run_id: int) -> HarvestRun | None:
    """Recompute a run and, if it is running and has been silent for too long, say so."""
    with transaction.atomic():
        run = recompute(run_id)
        if run is None:
            return None
        before, now = Standing.of(run), timezone.now()
        run.reconciled_at = now
        if run.stale_since is None and _is_stale(run, now):
            run.stale_since = now
        run.save(update_fields=["reconciled_at", "stale_since"])
        keep_changes(run, before, now)
    return run


def plan_look(run_id: int, now: datetime, wait: timedelta) -> bool:
    """Claim the look at a stale run that is due, so that nobody else takes it before ``wait`` is over.

    Return False where another sweep has it, or it is not due yet. Compare-and-set: of several that try
    at once one succeeds.
    """
    due = HarvestRun.objects.filter(pk=run_id, stale_since__isnull=False).filter(
        Q(look_again_at=None)
        | Q(look_again_at__lte=now)
        | Q(look_again_at__gt=now + 2 * LONGEST_DISTANCE)  # by a clock that was ahead
    )
    return bool(due.update(look_again_at=now + wait, looks=F("looks") + 1))


def distance(looks: int) -> timedelta:
    """Return how long after so many looks the next one is: it doubles, up to a day."""
    doublings = min(max(looks - 1, 0), 16)  # more would be over the longest in any case
    return min(FIRST_DISTANCE * (1 << doublings), LONGEST_DISTANCE)


def fold(run: HarvestRun, before: Standing | None = None, *, quiet: bool = False) -> None:
    """Write to a locked run all that follows from its events. Queries don't grow with their number.

    ``before`` is how the run stood, where the caller has changed it since.

    Source: the status rule of the message contract (docs/message-contract.md).
    """
    before, now = before or Standing.of(run), timezone.now()
    newest = _newest(run.events.all())
    if newest is not None:
        first = run.events.order_by("sns_timestamp").values_list("sns_timestamp", flat=True)[:1]
        run.first_event_at = first[0]
        run.last_heard_at = newest.sns_timestamp
        _decide_status(run, newest)
        has_conf = newest.dag_run_conf != {}
        _describe(run, newest if has_conf else _newest(run.events.exclude(dag_run_conf={})) or newest)
        if run.lost_since is not None and newest.sns_timestamp > run.lost_since:
            run.lost_since, run.lost_reason = None, ""
    run.failure_reason = _failure_reason(run)
    link(run)
    check_silence(run, now)
    run.recompute_due_at = None
    if quiet:
        before = be_stale_quietly(run, before, now)
    run.save()
    keep_changes(run, before, run.last_heard_at if quiet else now, quiet=quiet)


def _newest(events: QuerySet[HarvestEvent]) -> HarvestEvent | None:
    """Return the event that decides, by harvest.status.order."""
    # These are large, and not needed here.
    events = events.defer("rikolti_message", "sqs_message", "sns_message")
    return newest(events, "sns_timestamp", "-dag_level", largest("message_id")).first()


def _decide_status(run: HarvestRun, newest: HarvestEvent) -> None:
    decided = run.status_source != HarvestRun.StatusSource.EVENTS
    if decided and run.status_set_at and newest.sns_timestamp <= run.status_set_at:
        return
    run.status = HarvestRun.Status(newest.outcome)
    run.status_source = HarvestRun.StatusSource.EVENTS
    run.status_set_at = run.status_set_by = None
    run.status_note = ""


def _describe(run: HarvestRun, event: HarvestEvent) -> None:
    """Take conf and logical date from the newest event that has a conf, or else from the newest."""
    run.dag_run_conf = event.dag_run_conf
    run.logical_date = event.logical_date
    run.conf_collection_id = find_collection_id(event.dag_run_conf)
    run.target_version = find_target_version(run.dag_id, event.dag_run_conf)


def _failure_reason(run: HarvestRun) -> str:
    """Return what the newest errors say in one line: the last of an exception, or else a reason."""
    if not run.errors:
        return ""
    # Their ends, as text: a stranger's may be of any type and length.
    ends = (
        Right(KeyTextTransform(key, "rikolti_message"), limits.MAX_FETCHED)
        for key in ("exception", "reason")
    )
    newest = run.events.filter(error=True).order_by("-sns_timestamp", "-message_id")
    errors = list(newest.values_list(*ends)[:SEARCHED_ERRORS])
    texts = [text for key in range(2) for text in (error[key] for error in errors)]
    lines = (text.strip().rpartition("\n")[2].strip() for text in texts if text)
    return next(filter(None, lines), "")[: limits.MAX_REASON]


def link(run: HarvestRun) -> None:
    """Link a locked run to collection and trigger, if the registry knows them by now."""
    wanted = run.conf_collection_id
    if run.collection_id != wanted:
        known = Collection.objects.filter(pk=wanted).first() if wanted is not None else None
        if known != run.collection:
            run.collection = known
            run.events.update(collection=known)
    trigger = HarvestTrigger.objects.of_run(run.key)
    if trigger is not None and trigger.state != HarvestTrigger.State.ACCEPTED:
        # Its answer got lost: here is a better one.
        HarvestTrigger.objects.filter(pk=trigger.pk).update(
            state=HarvestTrigger.State.ACCEPTED, stderr=""
        )
    run.harvest_trigger = trigger


def _is_stale(run: HarvestRun, now: datetime) -> bool:
    return run.status == HarvestRun.Status.RUNNING and stale_after().is_stale(
        run.dag_id, run.last_heard_at, now
    )


def be_stale_quietly(run: HarvestRun, before: Standing, now: datetime) -> Standing:
    """Let a locked run that has long been silent be stale, before a sweep finds it and tells people.
    Return what it was before, but for that."""
    if run.stale_since is None and _is_stale(run, now):
        run.stale_since = now
        return replace(before, stale=True)
    return before


def check_silence(run: HarvestRun, now: datetime) -> None:
    """A run that ended, or was heard of again, is stale no more, and nobody looks again.

    One that ended is not lost either, whether that was known before or after Airflow was asked.
    """
    if run.status != HarvestRun.Status.RUNNING:
        run.lost_since, run.lost_reason = None, ""
    if run.stale_since is not None and not _is_stale(run, now):
        run.stale_since = run.look_again_at = None
        run.looks = 0
