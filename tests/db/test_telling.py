"""From events to messages: what people are told of runs, and how often."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.utils import timezone

from harvest import news, recording, tasks, telling
from harvest.models import HarvestRun, Notice, RunChange
from harvest.news import Kind
from tests import factories
from tests.factories import complete, failed, message, task_error

pytestmark = pytest.mark.django_db

KindOfChange = RunChange.Kind


def happen(*messages: Any) -> HarvestRun:
    """Let messages of one run arrive, by the tasks that workers run."""
    run_id = tasks.record_event([one.to_task() for one in messages])
    tasks.recompute_run_status(run_id)
    return HarvestRun.objects.get(pk=run_id)


def tell(later: timedelta = timedelta()) -> list[Kind]:
    """Consider what has settled by this time. Return what is told, in order."""
    now = timezone.now() + news.SETTLE + later
    people = telling.subscribers()
    told = [telling.consider(change_id, now, people) for change_id in telling.due_changes(now)]
    return [kind for kind in told if kind is not None]


def now() -> datetime:
    return timezone.now()


# --- One message a change -------------------------------------------------------------------------


def test_thousand_duplicates_of_a_failure_are_one_mail(
    monkeypatch: pytest.MonkeyPatch, deliver_at_once: None
) -> None:
    monkeypatch.setattr(news, "SETTLE", timedelta())
    factories.make_subscription()
    failure = task_error(at=now(), message_id="once")

    for _ in range(10):
        run = happen(*[failure] * 100)
        tasks.tell()
        recording.mark_stale(run.pk)
        tasks.tell()

    [sent] = mail.outbox
    assert sent.subject == "Harvest failed: collection (27551), harvest_collection"
    assert Notice.objects.get().state == Notice.State.SENT


def test_tasks_that_fail_side_by_side_are_one_failure() -> None:
    factories.make_subscription()
    at = now()
    told = []
    for second in range(0, 40, 2):
        happen(task_error(at=at, seconds=second, map_index=second))
        told += tell()
        happen(message(at=at, seconds=second + 1, map_index=second))
        told += tell()
    happen(failed(at=at, seconds=60))
    told += tell()

    assert told == [Kind.FAILED]
    assert Notice.objects.count() == 1


def test_failure_is_told_when_it_has_settled() -> None:
    run = happen(task_error(at=now()))

    assert telling.due_changes(now()) == []
    assert telling.due_changes(now() + news.SETTLE) == [run.changes.get().pk]


def test_failure_that_is_taken_back_before_it_settles_is_not_told() -> None:
    factories.make_subscription()
    at = now()
    happen(task_error(at=at))
    happen(message(at=at, seconds=1))

    assert tell() == []
    assert not RunChange.objects.filter(considered_at=None).exists()


def test_change_is_considered_once() -> None:
    factories.make_subscription()
    happen(failed(at=now()))

    assert tell() == [Kind.FAILED]
    assert tell() == []
    assert telling.consider(RunChange.objects.get().pk, now(), telling.subscribers()) is None
    assert Notice.objects.count() == 1


# --- What is news ---------------------------------------------------------------------------------


def test_run_that_succeeds_in_the_end_has_recovered() -> None:
    at = now()
    happen(failed(at=at))
    assert tell() == [Kind.FAILED]

    happen(complete(at=at, seconds=1))

    assert tell() == [Kind.RECOVERED]


def test_next_run_of_the_collection_that_succeeds_is_a_recovery() -> None:
    factories.make_collection()
    happen(failed(at=now(), dag_run_id="first", logical_date="2026-11-23T00:00:00Z"))
    assert tell() == [Kind.FAILED]

    happen(complete(at=now(), dag_run_id="second", logical_date="2026-11-24T00:00:00Z"))
    assert tell() == [Kind.RECOVERED]
    happen(complete(at=now(), dag_run_id="third", logical_date="2026-11-25T00:00:00Z"))
    assert tell() == []


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "publish_collection"},
        {"dag_run_conf": {"collection_id": "2"}},
        {"logical_date": "2026-11-22T00:00:00Z"},
    ],
    ids=["of another DAG", "of another collection", "planned for earlier"],
)
def test_other_run_that_succeeds_is_no_recovery(other: dict[str, Any]) -> None:
    factories.make_collection()
    factories.make_collection(2)
    happen(failed(at=now(), dag_run_id="first", logical_date="2026-11-23T00:00:00Z"))
    assert tell() == [Kind.FAILED]

    keys = {"logical_date": "2026-11-24T00:00:00Z", **other}
    happen(complete(at=now(), dag_run_id="second", **keys))

    assert tell() == []


def test_run_that_falls_silent_is_told_once_whatever_sweeps_come() -> None:
    run = happen(message(at=now() - timedelta(hours=7)))
    told = []
    for _ in range(3):
        recording.mark_stale(run.pk)
        told += tell()

    assert told == [Kind.STALE]


def test_run_that_fell_silent_by_a_clock_at_the_end_of_time_is_told() -> None:
    at_the_end = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    run = factories.make_run(last_heard_at=at_the_end, stale_since=now())
    RunChange.objects.create(harvest_run=run, kind=KindOfChange.STALE, source="events", changed_at=now())

    assert tell() == [Kind.STALE]


def test_run_that_is_lost_says_why() -> None:
    factories.make_subscription()
    run = factories.make_run(lost_since=now(), lost_reason="Airflow knows no such run")
    RunChange.objects.create(harvest_run=run, kind=KindOfChange.LOST, source="airflow", changed_at=now())

    assert tell() == [Kind.LOST]
    assert Notice.objects.get().content["data"]["why"] == "Airflow knows no such run"


def test_decision_of_a_person_is_news_with_its_reason() -> None:
    factories.make_subscription()
    person = User.objects.create(username="ada")
    run = factories.make_run(last_heard_at=now() - timedelta(days=30))

    recording.set_status(run.pk, HarvestRun.Status.FAILED, "its disk is full", person)

    assert tell() == [Kind.FAILED]
    assert Notice.objects.get().content["data"]["why"] == "its disk is full"


def test_quiet_change_is_told_to_nobody() -> None:
    run = factories.make_run(status="failed", last_heard_at=now())
    before = replace(recording.changes.Standing.of(run), status="running")

    recording.changes.keep_changes(run, before, now(), quiet=True)

    assert tell() == []
    assert run.changes.get().news == ""


def test_backlog_that_is_drained_late_tells_what_is_new_enough() -> None:
    old = happen(failed(at=now() - news.OLD - timedelta(hours=1), dag_run_id="old"))
    happen(failed(at=now() - timedelta(days=2), dag_run_id="of the weekend"))

    assert tell() == [Kind.FAILED]
    assert old.changes.get().news == ""


# --- Who is told ----------------------------------------------------------------------------------


def told_names() -> set[str]:
    return set(Notice.objects.values_list("subscription__name", flat=True))


def test_subscription_is_told_of_what_it_names() -> None:
    collection = factories.make_collection(campus_names=["UC Davis"])
    other = factories.make_collection(2)
    owner = User.objects.create_superuser("owner")

    def subscribe(name: str, *collections: Any, **fields: Any) -> None:
        factories.make_subscription(owner, name=name, **fields).collections.set(collections)

    subscribe("all")
    subscribe("collection", collection, other)
    subscribe("campus", campuses=["UC Davis"])
    subscribe("DAG", dag_ids=["harvest_collection"])
    subscribe("other collection", other)
    subscribe("other campus", campuses=["UCLA"])
    subscribe("other DAG", dag_ids=["publish_collection"])
    subscribe("other kinds", kinds=["recovered", "stale", "lost"])
    subscribe("off", active=False)
    subscribe("nonsense", kinds=[1, None], campuses={"a": 1})

    happen(failed(at=now()))
    tell()

    assert told_names() == {"all", "collection", "campus", "DAG"}


def test_person_who_may_not_see_runs_is_told_nothing() -> None:
    gone = User.objects.create_superuser("gone", is_active=False)
    stranger = User.objects.create_user("stranger")
    viewer = User.objects.create_user("viewer")
    viewer.user_permissions.add(Permission.objects.get(codename="view_harvestrun"))
    for person in (gone, stranger, viewer):
        factories.make_subscription(person, name=person.username)

    happen(failed(at=now()))
    tell()

    assert told_names() == {"viewer"}


def test_notice_has_what_a_reader_needs(settings: Any) -> None:
    settings.PUBLIC_URL = "https://registry.example.org"
    factories.make_subscription()
    factories.make_collection(name="Sunset magazine")
    run = happen(task_error(at=now()))
    tell()

    data = Notice.objects.get().content["data"]
    assert data["title"] == "Harvest failed: Sunset magazine (27551), harvest_collection"
    assert data["why"] == "KeyError: 'isShownAt'"
    assert data["run_url"] == (f"https://registry.example.org/admin/harvest/harvestrun/{run.pk}/change/")


def test_fault_with_one_run_keeps_no_other_from_being_told(
    monkeypatch: pytest.MonkeyPatch, deliver_at_once: None
) -> None:
    monkeypatch.setattr(news, "SETTLE", timedelta())
    factories.make_subscription()
    happen(failed(at=now(), dag_run_id="odd"))
    happen(failed(at=now(), dag_run_id="well"))
    report = telling._report

    def stumble(kind: Kind, run: HarvestRun, *more: Any) -> Any:
        if run.dag_run_id == "odd":
            raise KeyError
        return report(kind, run, *more)

    with monkeypatch.context() as faulty:
        faulty.setattr(telling, "_report", stumble)
        assert tasks.tell() == "1 of 2 changes is news, 1 notice to send"
    assert tasks.tell() == "1 of 1 change is news, 1 notice to send"
    assert len(mail.outbox) == 2
