from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from celery_app import app
from harvest.airflow import Outcome, RunKey
from harvest.errors import Malformed
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from tests.factories import HOST, START, make_collection, make_run, make_trigger

pytestmark = pytest.mark.django_db


def make_event(run: HarvestRun, **fields: Any) -> HarvestEvent:
    defaults = {
        "message_id": "cf997318",
        "sns_timestamp": START,
        "outcome": "running",
        "logical_date": START,
        "recorded_at": START,
    }
    return HarvestEvent.objects.create(harvest_run=run, **{**defaults, **fields})


def make_rejected(**fields: Any) -> RejectedMessage:
    defaults = {
        "digest": "0" * 64,
        "body": "x",
        "reason": "not_json",
        "error": "not JSON",
        "sent_at": START,
        "first_seen_at": START,
        "last_seen_at": START,
    }
    return RejectedMessage.objects.create(**{**defaults, **fields})


def assert_refused(statement: Any, **fields: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        statement(**fields)


# --- Constraints ----------------------------------------------------------------------------------


def test_event_is_stored_once() -> None:
    make_event(make_run())

    assert_refused(make_event, run=make_run())


def test_run_is_there_once() -> None:
    make_run(dag_run_id="manual__1")

    assert_refused(make_run, dag_run_id="manual__1")


def test_run_without_host_is_there_once() -> None:
    make_run(dag_run_id="manual__1", host="")

    assert_refused(make_run, dag_run_id="manual__1", host="")


@pytest.mark.parametrize(
    "other",
    [{"host": "https://other.example.org"}, {"host": ""}, {"dag_id": "other"}, {"dag_run_id": "other"}],
    ids=str,
)
def test_run_is_told_apart_by_each_part_of_its_key(other: dict[str, str]) -> None:
    make_run(dag_run_id="manual__1")

    make_run(**{"dag_run_id": "manual__1", **other})

    assert HarvestRun.objects.count() == 2


@pytest.mark.parametrize("status", ["queued", "", "Running"])
def test_run_has_a_known_status(status: str) -> None:
    assert_refused(make_run, status=status)


def test_run_whose_status_a_person_set_has_the_date() -> None:
    assert_refused(make_run, status_source="person")

    assert make_run(status_source="person", status_set_at=START).pk


def test_rejected_body_is_kept_once() -> None:
    make_rejected()

    assert_refused(make_rejected)


# --- What goes with what --------------------------------------------------------------------------


def test_run_and_events_outlive_collection_and_trigger() -> None:
    collection = make_collection(1)
    run = make_run(collection=collection, harvest_trigger=make_trigger(collection))
    event = make_event(run, collection=collection)

    collection.delete()

    run.refresh_from_db()
    event.refresh_from_db()
    assert (run.collection, run.harvest_trigger, event.collection) == (None, None, None)


def test_statuses_are_the_outcomes_of_the_rule() -> None:
    assert set(HarvestRun.Status.values) == {outcome.value for outcome in Outcome}


def test_every_reason_of_a_malformed_message_can_be_stored() -> None:
    longest = RejectedMessage._meta.get_field("reason").max_length

    assert {reason.value for reason in Malformed} < set(RejectedMessage.Reason.values)
    assert longest is not None
    assert all(len(reason) <= longest for reason in RejectedMessage.Reason.values)


def test_run_key() -> None:
    run = make_run(dag_id="harvest_collection", dag_run_id="manual__1")

    assert run.key == RunKey(HOST, "harvest_collection", "manual__1")


def test_runs_newest_first() -> None:
    old = make_run(last_heard_at=START)
    new = make_run(last_heard_at=START + timedelta(seconds=1))

    assert list(HarvestRun.objects.all()) == [new, old]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: make_collection(466, name="Portraits"), "Portraits (466)"),
        (lambda: make_run(dag_run_id="manual__1"), "harvest_collection manual__1"),
        (lambda: make_event(make_run(), task_id="map_page"), "map_page at 2026-11-24 05:21:34 UTC"),
        (lambda: make_event(make_run(), outcome="failed"), "failed at 2026-11-24 05:21:34 UTC"),
        (make_rejected, "not JSON at 2026-11-24 05:21:34 UTC"),
    ],
    ids=["collection", "run", "task", "end", "rejected"],
)
def test_rows_say_what_they_are(made: Any, text: str) -> None:
    assert str(made()) == text


# --- Migrations -----------------------------------------------------------------------------------


def test_migrations_are_complete() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)  # else it exits


def test_schedule_is_there_after_migration() -> None:
    app.loader.import_default_modules()

    scheduled = PeriodicTask.objects.get(name="reconcile_runs")

    assert scheduled.enabled
    assert scheduled.task in app.tasks
    assert str(scheduled.interval) == "every 5 minutes"


@pytest.mark.django_db(transaction=True)
def test_schedule_that_an_operator_edits_survives_a_migration() -> None:
    migrate_again()
    other, _ = IntervalSchedule.objects.get_or_create(every=2, period="hours")
    PeriodicTask.objects.filter(name="reconcile_runs").update(
        enabled=False, interval=other, description="not now"
    )

    migrate_again()

    scheduled = PeriodicTask.objects.get(name="reconcile_runs")
    assert not scheduled.enabled
    assert scheduled.interval == other
    assert scheduled.description == "not now"


@pytest.mark.django_db(transaction=True)
def test_schedule_is_made_beside_intervals_of_others() -> None:
    # django-celery-beat lets there be several that are alike, and a registry may have them.
    for _ in range(2):
        IntervalSchedule.objects.create(every=5, period="minutes")

    try:
        migrate_again()
        assert PeriodicTask.objects.filter(name="reconcile_runs").exists()
    finally:
        IntervalSchedule.objects.all().delete()
        migrate_again()


def migrate_again() -> None:
    """Take back the migration of the schedule, which leaves the rows, and apply it again."""
    call_command("migrate", "harvest", "0001", verbosity=0)
    call_command("migrate", verbosity=0)
