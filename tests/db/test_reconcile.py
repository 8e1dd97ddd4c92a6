from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from harvest import recording
from harvest.models import HarvestRun
from harvest.reconcile import RECOMPUTE_GRACE, due_runs, look_at
from tests.factories import HOST, START, complete, make_collection, make_run, make_trigger, message

pytestmark = pytest.mark.django_db

NOW = datetime.fromisoformat("2030-01-01T12:00:00+00:00")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Status = HarvestRun.Status


def make_quiet_run(**fields: object) -> HarvestRun:
    """A run that needs no look: it is running, and was heard of a minute ago."""
    return make_run(**{"last_heard_at": NOW - MINUTE, **fields})


def test_due_runs_of_none() -> None:
    assert due_runs(NOW) == []


def test_due_runs_not_those_that_are_well() -> None:
    make_quiet_run()
    make_quiet_run(status=Status.SUCCEEDED, last_heard_at=NOW - 1000 * HOUR)
    make_quiet_run(status=Status.FAILED, last_heard_at=NOW - 1000 * HOUR)

    assert due_runs(NOW) == []


# --- Overdue --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "due"),
    [(NOW, False), (NOW - RECOMPUTE_GRACE + MINUTE, False), (NOW - RECOMPUTE_GRACE, True)],
    ids=["now", "within the grace", "after it"],
)
def test_due_runs_whose_recompute_is_lost(recorded: datetime, due: bool) -> None:
    run = make_quiet_run(recompute_due_at=recorded, status=Status.SUCCEEDED)

    assert due_runs(NOW) == [run.pk] * due


def test_due_runs_whose_recompute_is_lost_by_a_clock_that_was_ahead() -> None:
    run = make_quiet_run(recompute_due_at=NOW + 50 * HOUR)

    assert due_runs(NOW) == [run.pk]


# --- Silent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dag_id", "silence", "due"),
    [
        ("harvest_collection", 6 * HOUR, True),
        ("harvest_collection", 6 * HOUR - MINUTE, False),
        ("validate_by_mapper_type", HOUR, True),
        ("validate_by_mapper_type", HOUR - MINUTE, False),
    ],
    ids=["default", "before it", "exception", "before the exception"],
)
def test_due_runs_that_fell_silent(dag_id: str, silence: timedelta, due: bool) -> None:
    run = make_quiet_run(dag_id=dag_id, last_heard_at=NOW - silence)

    assert due_runs(NOW) == [run.pk] * due


def test_due_runs_exception_may_be_longer_than_the_default(settings: Settings) -> None:
    settings.STALE_AFTER_BY_DAG = {"index_manual_edits": 48 * HOUR}
    make_quiet_run(dag_id="index_manual_edits", last_heard_at=NOW - 47 * HOUR)
    silent = make_quiet_run(dag_id="index_manual_edits", last_heard_at=NOW - 48 * HOUR)

    assert due_runs(NOW) == [silent.pk]


def test_due_runs_without_exceptions(settings: Settings) -> None:
    settings.STALE_AFTER_BY_DAG = {}
    run = make_quiet_run(last_heard_at=NOW - 6 * HOUR)

    assert due_runs(NOW) == [run.pk]


@pytest.mark.parametrize(
    ("planned", "due"),
    [(NOW + MINUTE, False), (NOW, True), (NOW - HOUR, True)],
    ids=["later", "now", "before"],
)
def test_due_runs_stale_run_is_looked_at_when_it_was_planned(planned: datetime, due: bool) -> None:
    run = make_quiet_run(
        last_heard_at=NOW - 100 * HOUR, stale_since=NOW - 90 * HOUR, look_again_at=planned
    )

    assert due_runs(NOW) == [run.pk] * due


def test_due_runs_silent_run_that_is_not_stale_yet_does_not_wait() -> None:
    run = make_quiet_run(last_heard_at=NOW - 7 * HOUR, reconciled_at=NOW - MINUTE)

    assert due_runs(NOW) == [run.pk]


def test_due_runs_that_a_clock_that_was_ahead_took_for_silent() -> None:
    run = make_quiet_run(stale_since=NOW + 50 * HOUR, reconciled_at=NOW + 50 * HOUR)

    assert due_runs(NOW) == [run.pk]
    assert look_at(run.pk) == "running"


def test_due_runs_clocks_may_differ_by_a_little() -> None:
    make_quiet_run(recompute_due_at=NOW + MINUTE, reconciled_at=NOW + MINUTE)

    assert due_runs(NOW) == []


# --- Not linked -----------------------------------------------------------------------------------


def test_due_runs_whose_collection_is_known_by_now() -> None:
    make_collection(1)
    run = make_quiet_run(conf_collection_id=1, status=Status.SUCCEEDED)
    make_quiet_run(conf_collection_id=2)
    make_quiet_run(conf_collection_id=None)
    make_quiet_run(conf_collection_id=1, collection_id=1)

    assert due_runs(NOW) == [run.pk]


def test_due_runs_whose_trigger_is_written_by_now() -> None:
    collection = make_collection(1)
    names = {"dag_id": "harvest_collection", "dag_run_id": "manual__1", "logical_date": START}
    run = make_quiet_run(**names, status=Status.SUCCEEDED)
    make_quiet_run(**{**names, "dag_id": "publish_collection"})
    make_quiet_run(**names, host="https://other.example.org")

    make_trigger(collection, **names, hostname=HOST)

    assert due_runs(NOW) == [run.pk]


def test_due_runs_not_those_that_have_their_trigger() -> None:
    names = {"dag_id": "harvest_collection", "dag_run_id": "manual__1", "logical_date": START}
    trigger = make_trigger(make_collection(1), **names)
    make_quiet_run(**names, harvest_trigger=trigger)

    assert due_runs(NOW) == []


# --- Order and bounds -----------------------------------------------------------------------------


def test_due_runs_each_once_and_of_each_kind_the_most_urgent_first() -> None:
    make_collection(1)
    silent = {"last_heard_at": NOW - 7 * HOUR}
    unlinked = make_quiet_run(conf_collection_id=1)
    looked_at_later = make_quiet_run(**silent, look_again_at=NOW - 2 * HOUR)
    looked_at = make_quiet_run(**silent, look_again_at=NOW - 3 * HOUR)
    never_looked_at = make_quiet_run(**silent)
    silent_for_longer = make_quiet_run(last_heard_at=NOW - 8 * HOUR)
    overdue_later = make_quiet_run(recompute_due_at=NOW - HOUR, conf_collection_id=1, **silent)
    overdue = make_quiet_run(recompute_due_at=NOW - 2 * HOUR)

    due = due_runs(NOW)

    silent_runs = silent_for_longer, never_looked_at, looked_at, looked_at_later
    assert due.index(silent_for_longer.pk) < due.index(never_looked_at.pk)
    assert due.index(looked_at.pk) < due.index(looked_at_later.pk)
    assert due.index(overdue.pk) < due.index(overdue_later.pk)
    assert sorted(due) == sorted(run.pk for run in (*silent_runs, overdue, overdue_later, unlinked))


def test_due_runs_no_kind_starves_another() -> None:
    make_collection(1)
    for _ in range(5):
        make_quiet_run(last_heard_at=NOW - 7 * HOUR)
    unlinked = make_quiet_run(conf_collection_id=1)

    assert unlinked.pk in due_runs(NOW, limit=2)


def test_due_runs_limit_leaves_the_rest_for_the_next_sweep() -> None:
    runs = [make_quiet_run(last_heard_at=NOW - 10 * HOUR + index * MINUTE) for index in range(5)]

    assert due_runs(NOW, limit=3) == [run.pk for run in runs[:3]]


def test_due_runs_limit_is_of_all_kinds_together() -> None:
    make_collection(1)
    for _ in range(2):
        make_quiet_run(conf_collection_id=1)
        make_quiet_run(last_heard_at=NOW - 7 * HOUR)

    assert len(due_runs(NOW, limit=3)) == 3


def test_due_runs_asks_as_much_of_many_runs_as_of_few() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(due_runs(NOW)) == HarvestRun.objects.count()
        return len(captured)

    make_quiet_run(last_heard_at=NOW - 7 * HOUR)
    of_one = queries()
    for index in range(50):
        make_quiet_run(last_heard_at=NOW - 7 * HOUR, recompute_due_at=NOW - (1 + index) * HOUR)

    assert queries() == of_one


# --- The look -------------------------------------------------------------------------------------


def store(**keys: Any) -> int:
    run_id = recording.record([message(**keys)]).run_id
    assert run_id is not None
    return run_id


def test_look_at_run_that_fell_silent() -> None:
    run_id = store(at=timezone.now() - 7 * HOUR)

    said = look_at(run_id)

    run = HarvestRun.objects.get()
    assert run.stale_since is not None
    assert said == f"stale since {run.stale_since:%Y-%m-%d %H:%M:%S} UTC"
    assert run.status == Status.RUNNING


def test_look_at_run_that_is_well() -> None:
    assert look_at(store(at=timezone.now())) == "running"


def test_look_at_run_that_is_gone() -> None:
    assert look_at(0) == "gone"


def test_look_at_run_whose_recompute_was_lost() -> None:
    run_id = recording.record([complete()]).run_id
    assert run_id is not None

    assert look_at(run_id) == "succeeded"
    assert HarvestRun.objects.get().recompute_due_at is None


def test_look_at_links_what_came_late() -> None:
    run_id = store(at=timezone.now())
    collection = make_collection(27551)
    trigger = make_trigger(collection)

    look_at(run_id)

    run = HarvestRun.objects.get()
    assert (run.collection, run.harvest_trigger) == (collection, trigger)


def test_look_at_leaves_a_persons_word() -> None:
    run_id = store(at=timezone.now() - 7 * HOUR)
    recording.set_status(run_id, Status.FAILED, "lost")

    assert look_at(run_id) == "failed"
    assert HarvestRun.objects.get().status_note == "lost"


def test_look_at_twice_is_harmless() -> None:
    run_id = store(at=timezone.now() - 7 * HOUR)
    first = look_at(run_id)
    before = HarvestRun.objects.values().get()

    second = look_at(run_id)

    after = HarvestRun.objects.values().get()
    assert second == first
    assert {**before, "reconciled_at": after["reconciled_at"]} == after


def test_sweep_leaves_nothing_to_do() -> None:
    store(dag_run_id="silent", at=timezone.now() - 7 * HOUR)
    unlinked = store(dag_run_id="unlinked", at=timezone.now())
    recording.recompute(unlinked)
    make_trigger(make_collection(27551), dag_run_id="unlinked")
    HarvestRun.objects.update(recompute_due_at=timezone.now() - HOUR)
    run_ids = due_runs(timezone.now())
    assert len(run_ids) == 2

    for run_id in run_ids:
        look_at(run_id)

    assert due_runs(timezone.now()) == []
