"""The answer that a run's page begins with: how the run stands, why, since when, and who says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from harvest.admin import parts, runtasks
from harvest.models import HarvestEvent, HarvestRun, RunChange
from harvest.recording.runs import stale_after

Source = HarvestRun.StatusSource


@dataclass(frozen=True, slots=True)
class Answer:
    """``troubles`` are what a person should know besides: lost, stale, Airflow that can't be asked."""

    status: SafeString
    why: str
    since: datetime | None
    decided_by: str
    note: str
    next_look: datetime | None
    next_look_why: str
    troubles: Sequence[str]


def answer_of(run: HarvestRun, changes: Sequence[RunChange], errors: Sequence[HarvestEvent]) -> Answer:
    """Return the answer. ``changes`` and ``errors`` are the run's newest, newest first."""
    next_look, next_look_why = _next_look(run)
    return Answer(
        status=parts.status_word(run),
        why=_why(run, errors),
        since=_since(run, changes),
        decided_by=_decided_by(run),
        note=run.status_note,
        next_look=next_look,
        next_look_why=next_look_why,
        troubles=_troubles(run),
    )


def _why(run: HarvestRun, errors: Sequence[HarvestEvent]) -> str:
    """Return what failed in one line: of a task rather than of the run as a whole, which names none."""
    if run.status != HarvestRun.Status.FAILED:
        return ""
    if run.status_source == Source.PERSON and run.status_note:
        return run.status_note
    of_tasks = [event for event in errors if event.task_id is not None]
    for event in (*of_tasks, *errors):
        line = runtasks.line_of(event)
        return f"{event.task_id}: {line}" if event.task_id else line
    return _("not said")


def _since(run: HarvestRun, changes: Sequence[RunChange]) -> datetime | None:
    newest = next((change for change in changes if change.made_it(run.status)), None)
    if run.status == HarvestRun.Status.RUNNING:
        return (newest and newest.changed_at) or run.first_event_at or run.airflow_started_at
    if newest is not None and newest.source != Source.EVENTS:
        return newest.changed_at
    # What was recorded late was so before; what was said again has been so for longer.
    since = run.failed_since or run.status_set_at or run.last_heard_at
    return min(newest.changed_at, run.last_heard_at) if newest else since


def _decided_by(run: HarvestRun) -> str:
    if run.status_source == Source.PERSON:
        return _("%s, by hand") % (run.status_set_by or _("a person"))
    if run.status_source == Source.AIRFLOW:
        return _("Airflow's answer: %s") % (run.airflow_state or _("not kept"))
    if run.first_event_at is None:
        return _("nothing yet: it has sent no event")
    return _("events: the newest decides")


def _next_look(run: HarvestRun) -> tuple[datetime | None, str]:
    """Return when the sweep looks at the run next, None where nothing but an event changes it."""
    if run.status != HarvestRun.Status.RUNNING:
        return None, _("none: the run has ended. A newer event makes it run again.")
    if run.look_again_at is not None:
        return run.look_again_at, _("It fell silent, and each look comes later than the one before.")
    if run.stale_since is not None:
        return None, _("with one of the next sweeps")
    silent_at = stale_after().silent_at(run.dag_id, run.last_heard_at)
    if silent_at is None:
        return None, _("none: by its events it is never silent. An event is heard at once.")
    return silent_at, _("if it stays silent until then. An event is heard at once.")


def _troubles(run: HarvestRun) -> list[str]:
    troubles = []
    if run.lost_since is not None:
        troubles.append(_("Lost: %s") % (run.lost_reason or _("Airflow knows no such run.")))
    if run.stale_since is not None:
        troubles.append(
            _("Stale: it is running by its events, and has sent none for longer than its DAG should.")
        )
    if run.airflow_failures:
        troubles.append(
            _("Airflow could not be asked, %(number)d times in a row: %(why)s")
            % {"number": run.airflow_failures, "why": run.airflow_error or _("not said")}
        )
    return troubles
