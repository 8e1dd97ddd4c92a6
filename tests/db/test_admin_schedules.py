"""The page of schedules: in words, with the last and the next run, and a way to run one now."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from harvest.admin.schedules import next_run
from harvest.tasks import reconcile_runs

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

LIST = reverse("admin:django_celery_beat_periodictask_changelist")


@pytest.fixture(autouse=True)
def schedule(db: None) -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    monkeypatch.setattr(
        reconcile_runs, "apply_async", lambda *args, **options: sent.append((args, options))
    )
    return sent


def named(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def text_of(client: Client) -> str:
    return " ".join(unescape(client.get(LIST).content.decode()).split())


def run_now(client: Client, *tasks: PeriodicTask) -> str:
    data = {"action": "run_now", "_selected_action": [task.pk for task in tasks]}
    return unescape(client.post(LIST, data, follow=True).content.decode())


def test_schedules_are_said_in_words(staff: Client) -> None:
    PeriodicTask.objects.filter(name="read_queues").update(enabled=False)

    page = text_of(staff)

    for words in ("every 5 minutes", "At 04:00", "✔</span> enabled", "⚠</span> disabled"):
        assert words in page


def test_next_run_follows_from_the_last() -> None:
    task = named("reconcile_runs")
    now = timezone.now()
    task.last_run_at = now - timedelta(minutes=2)

    moment = next_run(task, now)

    assert moment is not None
    assert abs(moment - (now + timedelta(minutes=3))) < timedelta(minutes=1)
    task.enabled = False
    assert next_run(task, now) is None


def test_next_run_of_a_crontab() -> None:
    moment = next_run(named("prune"), timezone.now())

    assert moment is not None
    rounded = moment + timedelta(seconds=30)  # the schedule's own clock went on meanwhile
    assert (rounded.hour, rounded.minute) == (4, 0)


def test_next_run_of_a_task_that_runs_once() -> None:
    now = timezone.now()
    clocked = ClockedSchedule.objects.create(clocked_time=now + timedelta(hours=1))
    task = PeriodicTask.objects.create(name="once", task="x", clocked=clocked, one_off=True)

    moment = next_run(task, now)

    assert moment is not None
    assert abs(moment - clocked.clocked_time) < timedelta(minutes=1)
    task.expires = now
    assert next_run(task, now) is None


def test_clock_that_was_ahead_delays_no_next_run() -> None:
    task = named("reconcile_runs")
    now = timezone.now()
    task.last_run_at = now + timedelta(hours=50)

    moment = next_run(task, now)

    assert moment is not None
    assert moment <= now + timedelta(minutes=6)


def test_task_that_beat_does_not_send_is_overdue(staff: Client) -> None:
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(days=3))

    assert "overdue: does beat run?" in text_of(staff)


def test_run_now_sends_the_task(staff: Client, sent: list[Any]) -> None:
    page = run_now(staff, named("reconcile_runs"))

    ((args, options),) = sent
    assert args == ([], {})
    assert options["headers"] == {"periodic_task_name": "reconcile_runs"}
    assert "reconcile_runs is sent." in page
    assert "?periodic_task_name=reconcile_runs" in page


def test_run_now_says_what_is_not_sent(
    staff: Client, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = PeriodicTask.objects.create(
        name="<b>odd</b>", task="no.such.task", interval=named("read_queues").interval
    )

    page = run_now(staff, unknown, named("reconcile_runs"))

    assert len(sent) == 1
    assert "<b>odd</b> is not sent: there is no task no.such.task" in page
    assert "&lt;b&gt;odd" in staff.get(LIST).content.decode()

    def refuse(*args: object, **options: object) -> None:
        raise ConnectionRefusedError("the queue is away")

    monkeypatch.setattr(reconcile_runs, "apply_async", refuse)
    assert "reconcile_runs is not sent: the queue is away" in run_now(staff, named("reconcile_runs"))


def test_operator_runs_the_tasks_of_the_pipeline_and_changes_none(
    client: Client, sent: list[Any]
) -> None:
    operator = User.objects.create_user("operator", is_staff=True)
    operator.groups.add(Group.objects.get(name="operator"))
    client.force_login(operator)
    other = PeriodicTask.objects.create(
        name="other", task="celery.backend_cleanup", interval=named("read_queues").interval
    )

    page = run_now(client, named("reconcile_runs"), other)

    assert len(sent) == 1
    assert "reconcile_runs is sent." in page
    assert "other is not sent: it is none of the pipeline's own tasks" in page
    data = {"action": "disable_tasks", "_selected_action": [named("reconcile_runs").pk]}
    client.post(LIST, data)
    assert named("reconcile_runs").enabled


def test_viewer_sends_and_switches_nothing(client: Client, sent: list[Any]) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    client.force_login(viewer)

    run_now(client, named("reconcile_runs"))
    data = {"action": "disable_tasks", "_selected_action": [named("reconcile_runs").pk]}
    client.post(LIST, data)

    assert sent == []
    assert named("reconcile_runs").enabled
