"""What stands in the schedule is the operator's."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import OperationalError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from celery_app import app
from harvest.schedule import Scheduler

pytestmark = pytest.mark.django_db


def test_schedule_is_there_after_migration() -> None:
    names = PeriodicTask.objects.values_list("name", "task", "enabled")

    assert sorted(names) == [
        ("backfill_runs", "harvest.backfill_runs", True),
        ("prune", "harvest.prune", True),
        ("read_queues", "harvest.read_queues", True),
        ("reconcile_runs", "harvest.reconcile_runs", True),
        ("tell", "harvest.tell", True),
    ]


@pytest.mark.django_db(transaction=True)
def test_start_of_beat_leaves_what_an_operator_edited() -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)
    cleanup = PeriodicTask.objects.get(name="prune")
    cleanup.crontab.minute = "30"
    cleanup.crontab.save()
    PeriodicTask.objects.filter(name="reconcile_runs").update(enabled=False)

    schedule = Scheduler(app=app, lazy=False).schedule

    assert sorted(schedule) == ["backfill_runs", "prune", "read_queues", "tell"]
    cleanup.refresh_from_db()
    assert cleanup.crontab.minute == "30"


@pytest.mark.parametrize("name", ["reconcile_runs", "read_queues"])
def test_sweeps_that_nobody_took_do_not_pile_up(name: str) -> None:
    sweep = PeriodicTask.objects.get(name=name)

    assert sweep.expire_seconds == sweep.interval.every * 60


@pytest.mark.django_db(transaction=True)
def test_clock_that_was_ahead_stops_no_sweep() -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)
    sweep = PeriodicTask.objects.get(name="reconcile_runs")
    cleanup = PeriodicTask.objects.get(name="prune")
    for task, ahead in ((sweep, timedelta(hours=50)), (cleanup, timedelta(days=10))):
        task.last_run_at = timezone.now() + ahead
        task.save()

    schedule = Scheduler(app=app, lazy=True).schedule

    assert schedule[sweep.name].is_due().next <= sweep.interval.every * 60
    assert schedule[cleanup.name].is_due().next <= timedelta(days=1).total_seconds()


@pytest.mark.django_db(transaction=True)
def test_database_that_is_away_ends_no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)
    scheduler = Scheduler(app=app, lazy=True)
    names = set(scheduler.schedule)
    PeriodicTasks.update_changed()
    assert set(scheduler.schedule) == names

    def refuse(self: Scheduler) -> None:
        raise OperationalError("the database is away")

    PeriodicTask.objects.filter(name="reconcile_runs").update(enabled=False)
    PeriodicTasks.update_changed()
    with monkeypatch.context() as away:
        away.setattr(Scheduler, "enabled_models", refuse)
        assert set(scheduler.schedule) == names
    assert set(scheduler.schedule) == names - {"reconcile_runs"}


@pytest.mark.django_db(transaction=True)  # the scheduler lets go of its connection
def test_beat_that_starts_while_the_database_is_away_begins_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)

    def refuse(self: Scheduler) -> None:
        raise OperationalError("the database is away")

    with monkeypatch.context() as away:
        away.setattr(Scheduler, "enabled_models", refuse)
        scheduler = Scheduler(app=app, lazy=False)
        assert scheduler.schedule == {}

    assert "reconcile_runs" in scheduler.schedule
