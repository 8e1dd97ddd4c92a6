"""The history of a run: one row a change, whatever said so, and however often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from harvest import recording
from harvest.models import HarvestRun, RunChange
from harvest.sns import SqsMessage
from tests.factories import make_run, message

pytestmark = pytest.mark.django_db

Kind = RunChange.Kind
FAILURE = {"error": True, "exception": "ValueError: no such set"}


def arrive(*messages: SqsMessage) -> HarvestRun:
    run_id = recording.record(messages).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def kinds(run: HarvestRun) -> list[str]:
    return list(run.changes.order_by("pk").values_list("kind", flat=True))


def test_change_says_what_was_before_and_what_decided() -> None:
    run = arrive(message(), message(seconds=1, rikolti_message=FAILURE))

    change = run.changes.get()
    assert (change.before, change.kind) == ("running", Kind.FAILED)
    assert change.source == HarvestRun.StatusSource.EVENTS
    assert change.user is None


def test_change_of_duplicates_is_one() -> None:
    failure = message(rikolti_message=FAILURE)

    run = [arrive(failure) for _ in range(5)][-1]

    assert kinds(run) == [Kind.FAILED]


def test_change_back_and_forth_is_kept_in_order() -> None:
    arrive(message(rikolti_message={"dag_complete": False}))
    arrive(message(seconds=1))
    run = arrive(message(seconds=2, rikolti_message={"dag_complete": True}))

    assert kinds(run) == [Kind.FAILED, Kind.RUNNING, Kind.SUCCEEDED]


def test_change_by_a_person_says_who_and_why() -> None:
    run, person = make_run(), User.objects.create(username="ada")

    recording.set_status(run.pk, HarvestRun.Status.FAILED, "its disk is full", person)

    run.refresh_from_db()
    change = run.changes.get()
    assert run.status_set_by == change.user == person
    assert (change.kind, change.source, change.note) == (Kind.FAILED, "person", "its disk is full")


def test_each_decision_of_a_person_is_kept_and_only_a_new_status_is_news() -> None:
    run, person = make_run(), User.objects.create(username="ada")
    recording.set_status(run.pk, HarvestRun.Status.SUCCEEDED, "all is there", person)

    recording.set_status(run.pk, HarvestRun.Status.SUCCEEDED, "counted once more", person)
    recording.set_status(run.pk, None, "so say I", None)

    kept = list(run.changes.order_by("pk"))
    assert [(one.before, one.kind, one.note) for one in kept] == [
        ("running", "succeeded", "all is there"),
        ("succeeded", "succeeded", "counted once more"),
        ("succeeded", "succeeded", "so say I"),
    ]
    assert [one.user for one in kept] == [person, person, None]
    assert [one.considered_at is None for one in kept] == [True, False, False]


def test_failure_has_the_date_of_what_made_it_one() -> None:
    run_id = arrive(message(rikolti_message=FAILURE)).pk

    def decide(status: HarvestRun.Status, why: str) -> HarvestRun:
        recording.set_status(run_id, status, why)
        return HarvestRun.objects.get(pk=run_id)

    confirmed = decide(HarvestRun.Status.FAILED, "indeed")
    assert confirmed.failed_since == confirmed.last_heard_at

    assert decide(HarvestRun.Status.SUCCEEDED, "it did well").failed_since is None

    failed_again = decide(HarvestRun.Status.FAILED, "it did not")
    assert failed_again.failed_since == failed_again.status_set_at


def test_change_to_stale_is_kept_once_for_many_sweeps() -> None:
    run = make_run(last_heard_at=timezone.now() - timedelta(days=1))

    for _ in range(3):
        recording.mark_stale(run.pk)

    assert kinds(run) == [Kind.STALE]


def test_newer_event_takes_the_person_away() -> None:
    run = arrive(message())
    recording.set_status(run.pk, HarvestRun.Status.FAILED, "", User.objects.create(username="ada"))

    run = arrive(message(at=timezone.now() + timedelta(seconds=1)))

    assert run.status_set_by is None
    assert kinds(run) == [Kind.FAILED, Kind.RUNNING]
