"""What is kept for a while only, and what for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import TaskResult
from pytest_django import Settings

from celery_app import app
from harvest import recording, retention, tasks
from harvest.models import (
    HarvestEvent,
    HarvestRun,
    Notice,
    QueueReading,
    RejectedMessage,
    RunChange,
    Subscription,
)
from harvest.results import ResultBackend
from harvest.retention import RULES, Rule
from tests.factories import complete, make_run, message, sqs_message

pytestmark = pytest.mark.django_db


def backdate(rows: QuerySet[Any], column: str, age: timedelta) -> None:
    rows.update(**{column: timezone.now() - age})


def make_events(count: int, age: timedelta) -> None:
    run = make_run()
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            message_id=str(uuid4()),
            harvest_run=run,
            sns_timestamp=run.last_heard_at,
            outcome="running",
            logical_date=run.logical_date,
            sqs_message={"MessageId": "1"},
            sns_message={"Type": "Notification"},
            recorded_at=timezone.now() - age,
        )
        for _ in range(count)
    )


def make_results(count: int, age: timedelta) -> None:
    made = TaskResult.objects.bulk_create(TaskResult(task_id=str(uuid4())) for _ in range(count))
    backdate(TaskResult.objects.filter(task_id__in=[one.task_id for one in made]), "date_done", age)


def make_readings(count: int, age: timedelta) -> None:
    at = timezone.now() - age
    QueueReading.objects.bulk_create(
        QueueReading(queue="rikolti-events", read_at=at, visible=0, in_flight=0) for _ in range(count)
    )


def make_replayed(count: int, age: timedelta) -> None:
    at = timezone.now() - age
    RejectedMessage.objects.bulk_create(
        RejectedMessage(
            digest=uuid4().hex, body="x", reason="not_json", error="", sent_at=at, first_seen_at=at,
            last_seen_at=at, replayed_at=at,
        )
        for _ in range(count)
    )  # fmt: skip


def make_notices(count: int, age: timedelta, state: str = "sent") -> None:
    user = User.objects.get_or_create(username="owner")[0]
    subscription = Subscription.objects.create(name="mine", owner=user, address="owner@example.org")
    run, at = make_run(), timezone.now() - age
    changes = RunChange.objects.bulk_create(
        RunChange(harvest_run=run, kind="failed", source="events", changed_at=at) for _ in range(count)
    )
    Notice.objects.bulk_create(
        Notice(
            subscription=subscription,
            change=change,
            kind="failed",
            state=state,
            created_at=at,
            due_at=at,
        )
        for change in changes
    )


def make_sessions(count: int, age: timedelta) -> None:
    at = timezone.now() - age
    Session.objects.bulk_create(
        Session(session_key=uuid4().hex, session_data="", expire_date=at) for _ in range(count)
    )


MAKE: dict[str | None, Callable[[int, timedelta], None]] = {
    "RETAIN_ENVELOPES": make_events,
    "RETAIN_RESULTS": make_results,
    "RETAIN_READINGS": make_readings,
    "RETAIN_REPLAYED": make_replayed,
    "RETAIN_NOTICES": make_notices,
    None: make_sessions,
}


def name_of(one: object) -> str:
    return one.what if isinstance(one, Rule) else ""


def left(rule: Rule) -> int:
    """Return how many rows of a rule there are, of any age."""
    return rule.old(timezone.now() + timedelta(days=1)).count()


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_what_is_too_old_goes_and_the_rest_stays(rule: Rule) -> None:
    MAKE[rule.setting](3, rule.kept + timedelta(minutes=1))
    MAKE[rule.setting](2, rule.kept - timedelta(minutes=1))

    assert [(one.rule, one.rows) for one in retention.prune(timezone.now(), [rule])] == [(rule, 3)]

    assert left(rule) == 2
    assert [one.rows for one in retention.prune(timezone.now(), [rule])] == [0]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.setting], ids=name_of)
def test_setting_says_how_long(rule: Rule, settings: Settings) -> None:
    assert rule.setting is not None
    MAKE[rule.setting](1, timedelta(hours=2))
    setattr(settings, rule.setting, timedelta(hours=1))

    assert sum(one.rows for one in retention.prune(timezone.now())) == 1


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_slices_are_bounded_and_cost_the_same(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 10)
    MAKE[rule.setting](25, rule.kept + timedelta(minutes=1))
    queries = []

    for expected in (10, 10, 5):
        with CaptureQueriesContext(connection) as captured:
            assert rule.take_slice(timezone.now()) == expected
        queries.append(len(captured))

    assert len(set(queries)) == 1
    assert queries[0] <= 4  # two of them the savepoint's


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.parametrize(
    ("rule", "index"),
    [
        (retention.ENVELOPES, "event_with_envelopes"),
        (retention.RESULTS, "django_cele_date_do"),
        (retention.READINGS, "reading_newest"),
        (retention.REPLAYED, "rejected_replayed"),
        (retention.NOTICES, "notice_newest"),
        (retention.SESSIONS, "django_session_expire_date"),
    ],
    ids=name_of,
)
def test_postgresql_finds_a_slice_by_index(rule: Rule, index: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    slice_ = rule.old(timezone.now()).values_list("pk", flat=True)[:1000]

    assert f"Scan using {index}" in slice_.explain() or f"Backward using {index}" in slice_.explain()


@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_sqlite_sorts_no_table_for_a_slice(rule: Rule) -> None:
    plan = rule.old(timezone.now()).values_list("pk", flat=True)[:1000].explain()

    assert "USING" in plan
    assert "TEMP B-TREE" not in plan


def test_events_tell_of_their_run_without_envelopes() -> None:
    for one in (message(), complete(seconds=60)):
        recording.record([one])
    backdate(HarvestEvent.objects.all(), "recorded_at", timedelta(days=91))
    run = HarvestRun.objects.get()

    list(retention.prune(timezone.now()))
    recording.recompute(run.pk)

    run.refresh_from_db()
    assert (run.status, run.tasks_done) == ("succeeded", 1)
    assert list(HarvestEvent.objects.values_list("sqs_message", "sns_message")) == [({}, {})] * 2


def test_copy_of_an_event_without_envelopes_is_a_copy() -> None:
    one = message()
    recording.record([one])
    backdate(HarvestEvent.objects.all(), "recorded_at", timedelta(days=91))
    list(retention.prune(timezone.now()))

    assert recording.record([one]).duplicates == 1
    assert HarvestEvent.objects.get().sns_message == {}


def test_rejected_message_that_waits_is_never_deleted() -> None:
    recording.record([sqs_message("not JSON")])
    backdate(RejectedMessage.objects.all(), "last_seen_at", timedelta(days=4000))

    list(retention.prune(timezone.now()))

    assert RejectedMessage.objects.count() == 1


def test_rejected_again_after_its_replay_waits_again() -> None:
    recording.record([sqs_message("not JSON", message_id="1")])
    backdate(RejectedMessage.objects.all(), "replayed_at", timedelta(days=91))
    recording.record([sqs_message("not JSON", message_id="1")])

    list(retention.prune(timezone.now()))

    assert RejectedMessage.objects.get().times_seen == 2


def test_notice_that_waits_stays() -> None:
    make_notices(1, timedelta(days=400), state="waiting")

    list(retention.prune(timezone.now()))

    assert Notice.objects.count() == 1


def test_task_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    monkeypatch.setattr(tasks, "PRUNED_SLICES", 3)
    followed: list[bool] = []
    monkeypatch.setattr(tasks.prune, "delay", lambda: followed.append(True))
    make_readings(9, timedelta(days=31))

    first, second, third = (tasks.prune() for _ in range(3))

    assert (first, second) == ("queue readings: 6", "queue readings: 3")
    assert third == "nothing is old"
    assert len(followed) == 3  # a task that did nothing but look at each rule is as long


def test_two_at_once_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    make_readings(7, timedelta(days=31))
    make_readings(1, timedelta(days=1))
    one, other = (retention.prune(timezone.now(), [retention.READINGS]) for _ in range(2))

    rows = [slice_.rows for pair in zip(one, other, strict=False) for slice_ in pair]

    assert sum(rows) == 7
    assert QueueReading.objects.count() == 1


def test_celerys_own_cleanup_is_sliced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    make_results(5, timedelta(days=8))
    make_results(1, timedelta(days=6))

    ResultBackend(app=app).cleanup()

    assert TaskResult.objects.count() == 1


# --- The command


def prune(*arguments: str) -> str:
    output = StringIO()
    call_command("prune", *arguments, stdout=output)
    return output.getvalue()


def test_dry_run_counts_and_removes_nothing() -> None:
    for rule in RULES:
        MAKE[rule.setting](2, rule.kept + timedelta(minutes=1))

    output = prune("--dry-run")

    assert output.count(": 2 would be removed\n") == len(RULES)
    assert [left(rule) for rule in RULES] == [2] * len(RULES)


def test_command_says_what_it_removed() -> None:
    make_readings(2, timedelta(days=31))

    assert "queue readings older than 30d of RETAIN_READINGS: 2 removed\n" in prune()
    assert "queue readings older than 30d of RETAIN_READINGS: 0 removed\n" in prune()


def test_command_stopped_by_the_database_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    make_readings(5, timedelta(days=31))
    take_slice, taken = Rule.take_slice, iter([True])

    def fail_second(self: Rule, now: Any) -> int:
        if next(taken, False):
            return take_slice(self, now)
        raise OperationalError("gone away")

    with monkeypatch.context() as patch:
        patch.setattr(Rule, "take_slice", fail_second)
        with pytest.raises(CommandError, match="2 removed, then the database failed: gone away"):
            prune()

    assert QueueReading.objects.count() == 3
    assert ": 3 removed" in prune()
