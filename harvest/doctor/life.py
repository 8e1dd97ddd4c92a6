"""Signs of life: what beat, workers and their consumers said of themselves, and what beat has sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from harvest import readiness
from harvest.doctor.findings import Finding, fault, ok, warning
from harvest.models import Heartbeat

#: A sweep is late when it was due so many times over.
MISSED_TICKS = 3

START_BEAT = "Start it, one and no more: python -m avram beat."

#: Of each part: what it is called, what stands still without it, and what to do.
_PARTS: Mapping[str, tuple[str, str, str]] = {
    Heartbeat.Part.BEAT: ("Beat", "nothing sweeps, reads queues or sends notices", START_BEAT),
    Heartbeat.Part.WORKER: ("Workers", "no task is done", "Start one: python -m avram worker."),
    Heartbeat.Part.CONSUMER: (
        "Consumers",
        "no event is taken",
        "Start a worker without RIKOLTI_CONSUMER=0, or restart the one that hangs; until then "
        "manage.py rikolti_status takes events.",
    ),
}


def examine() -> Iterator[Finding]:
    """Look for the last signs of beat, workers and consumers in the database."""
    now = timezone.now()
    try:
        sweep = PeriodicTask.objects.filter(task="harvest.reconcile_runs", enabled=True).first()
        newest = TaskResult.objects.order_by("-date_done").values_list("date_done", flat=True).first()
    except DatabaseError:
        return  # said of the database already
    for part, found in readiness.find_heartbeats().items():
        if found.state != readiness.UNKNOWN:  # as long as migrations are missing, which is said
            yield from _judge(part, found, ever=newest is not None)
    if sweep is None:
        yield fault(
            "Beat: the sweep is not scheduled: lost and stale runs are not found.",
            "Enable reconcile_runs among the periodic tasks of the admin.",
        )
    else:
        yield _judge_sweep(sweep, now)
    if newest is not None:
        yield ok(f"Tasks: the last was done {_ago(now - newest)} ago.")


def _judge(part: str, found: readiness.Finding, ever: bool) -> Iterator[Finding]:
    """Judge a part by its heartbeats. Where there is none, and no task was ever done, nothing is missed:
    it was not started yet."""
    name, stands_still, todo = _PARTS[part]
    alive, silent = found.counts.get("alive", 0), found.counts.get("silent", 0)
    if alive:
        yield ok(f"{name}: {alive} alive.")
        if silent:
            yield warning(
                f"{name}: {silent} said nothing for a while, and did not end in order.",
                "Restart what hangs: manage.py alive on each host. What was killed is forgotten "
                "after a day.",
            )
    elif found.age is not None:
        yield fault(f"{name}: silent for {_ago(found.age)}: {stands_still}.", todo)
    elif ever:
        yield fault(f"{name}: none has said within a day that it is alive: {stands_still}.", todo)
    else:
        yield warning(f"{name}: none was ever seen: {stands_still}.", todo)


def _judge_sweep(sweep: PeriodicTask, now: datetime) -> Finding:
    if sweep.last_run_at is None:
        return warning("Beat: it has sent no sweep yet.", f"Unless it has just started: {START_BEAT}")
    silence = now - sweep.last_run_at
    # Beat writes the time down every three minutes at the most.
    patience = sweep.schedule.run_every * MISSED_TICKS if sweep.interval else timedelta(days=1)
    if silence > max(patience, timedelta(minutes=10)):
        return fault(
            f"Beat: its last sweep was {_ago(silence)} ago.",
            START_BEAT,
        )
    return ok(f"Beat: its last sweep was {_ago(silence)} ago.")


def _ago(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
