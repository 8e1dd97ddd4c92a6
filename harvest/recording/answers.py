"""What Airflow said of a run, or that it said nothing: recorded as what it is, under the run's lock.

An answer is as old as the question: ``asked_at`` is taken before asking. A newer event wins over it, a
newer answer too, and a person's decision in any case, until a newer event arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from harvest import limits, metrics
from harvest.airflow import Outcome, find_collection_id, find_target_version, outcome_of_state
from harvest.airflow_api import AirflowRun
from harvest.models import HarvestRun
from harvest.recording.changes import Standing, keep_changes
from harvest.recording.runs import check_silence, distance, fold, link

Source = HarvestRun.StatusSource


def record_answer(run_id: int, answer: AirflowRun, asked_at: datetime) -> HarvestRun | None:
    """Record what Airflow says of a run. Return the run, or None where it is gone."""
    with transaction.atomic():
        run = _lock(run_id)
        if run is not None:
            apply_answer(run, answer, asked_at)
    return run


def apply_answer(
    run: HarvestRun, answer: AirflowRun, asked_at: datetime, *, quiet: bool = False
) -> None:
    """The same for a run that is locked. ``quiet``: what changes is no news to people."""
    with _changing(run, asked_at, quiet=quiet) as newer_known:
        if newer_known:
            return
        run.airflow_state = answer.state
        run.airflow_started_at, run.airflow_ended_at = answer.start_date, answer.end_date
        run.airflow_note = answer.note
        run.lost_since, run.lost_reason = None, ""
        _was_answered(run, asked_at)
        if run.first_event_at is None:
            _describe(run, answer)
        status_before = run.status
        _decide_status(run, outcome_of_state(answer.state), asked_at)
        if run.first_event_at is None and status_before == Outcome.RUNNING != run.status:
            transaction.on_commit(partial(metrics.add, metrics.SILENT_RUNS))


def record_not_found(run_id: int, reason: str, asked_at: datetime) -> HarvestRun | None:
    """Record that Airflow knows no such run: it is lost, as long as no newer event tells of it."""
    with transaction.atomic():
        run = _lock(run_id)
        if run is None:
            return None
        with _changing(run, asked_at) as newer_known:
            if newer_known:
                return run
            _was_answered(run, asked_at)
            heard_later = run.first_event_at is not None and run.last_heard_at > asked_at
            if run.lost_since is None and run.status == Outcome.RUNNING and not heard_later:
                run.lost_since, run.lost_reason = asked_at, reason[: limits.MAX_REASON]
    return run


def record_no_answer(
    run_id: int, why: str, asked_at: datetime, retry_after: timedelta | None = None
) -> HarvestRun | None:
    """Record that Airflow could not be asked. Nothing else changes, but when it is asked again."""
    with transaction.atomic():
        run = _lock(run_id)
        if run is None:
            return None
        with _changing(run, asked_at) as newer_known:
            if newer_known:
                return run
            run.airflow_failures += 1
            run.airflow_error = why[: limits.MAX_REASON]
        if retry_after and run.look_again_at:
            run.look_again_at = max(run.look_again_at, asked_at + retry_after)
            run.save(update_fields=["look_again_at"])
    return run


def forget_events(run: HarvestRun) -> None:
    """Let a locked run, all of whose events turned out to be another's, tell what Airflow said of it.

    What Airflow knows of its conf it says when it lists the run again.
    """
    run.first_event_at = None
    run.dag_run_conf, run.conf_collection_id, run.target_version = {}, None, None
    run.last_heard_at = run.airflow_started_at or run.logical_date
    if run.airflow_checked_at is not None and run.status_source == Source.EVENTS:
        _set_status(run, outcome_of_state(run.airflow_state), run.airflow_checked_at)


@contextmanager
def _changing(run: HarvestRun, asked_at: datetime, *, quiet: bool = False) -> Iterator[bool]:
    """Save what the block makes of a locked run. Gives whether a later question was answered before."""
    fold(run)  # what is stored by now counts, whether or not its task has come to it
    before, now = Standing.of(run), timezone.now()
    # (One that lies ahead is of a clock that was wrong.)
    newer_known = run.airflow_checked_at is not None and asked_at < run.airflow_checked_at <= now
    yield newer_known
    if run.stale_since is not None:
        run.look_again_at = now + distance(run.looks)
    check_silence(run, now)
    run.save()
    keep_changes(run, before, now, quiet=quiet)


def _lock(run_id: int) -> HarvestRun | None:
    return HarvestRun.objects.select_for_update(of=("self",)).filter(pk=run_id).first()


def _was_answered(run: HarvestRun, asked_at: datetime) -> None:
    run.airflow_checked_at = asked_at
    run.airflow_failures = 0
    run.airflow_error = ""


def _describe(run: HarvestRun, answer: AirflowRun) -> None:
    """A run that has sent nothing has from Airflow what else its events would tell."""
    run.dag_run_conf = answer.conf
    run.conf_collection_id = find_collection_id(answer.conf)
    run.target_version = find_target_version(run.dag_id, answer.conf)
    run.logical_date = answer.logical_date or run.logical_date
    run.last_heard_at = answer.start_date or run.last_heard_at
    link(run)


def _decide_status(run: HarvestRun, outcome: Outcome, asked_at: datetime) -> None:
    if run.status_source == Source.PERSON:
        return
    if run.first_event_at is not None:
        if run.last_heard_at > asked_at:
            return
        # That it runs is no news of a running run, and of one that ended by its own word it is none
        # until an event says so: Airflow calls it running until its last task has ended.
        if outcome == Outcome.RUNNING and run.status_source == Source.EVENTS:
            return
    _set_status(run, outcome, asked_at)


def _set_status(run: HarvestRun, outcome: Outcome, asked_at: datetime) -> None:
    run.status = HarvestRun.Status(outcome.value)
    run.status_source = Source.AIRFLOW
    run.status_set_at = asked_at
    run.status_set_by = None
    run.status_note = ""
