"""What manage.py doctor makes of signs of life. What it asks AWS is in tests/broker/test_doctor.py."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult
from pytest_django import Settings

from harvest.models import Heartbeat

pytestmark = pytest.mark.django_db

PARTS = ("Beat", "Workers", "Consumers")


@pytest.fixture(autouse=True)
def without_aws(settings: Settings) -> None:
    settings.RIKOLTI_EVENTS_QUEUE_URL = ""
    PeriodicTask.objects.filter(task="harvest.reconcile_runs").update(last_run_at=timezone.now())


def said() -> list[str]:
    """Return what doctor says of beat, workers and consumers, but for the sweep."""
    output = StringIO()
    with pytest.raises(SystemExit):  # at least for AWS
        call_command("doctor", stdout=output, no_color=True)
    lines = output.getvalue().splitlines()
    return [
        line for line in lines if line[9:].partition(":")[0] in PARTS and "its last sweep" not in line
    ]


def beat_all(age: timedelta, host: str = "one@host") -> None:
    for part in Heartbeat.Part:
        Heartbeat.objects.create(part=part, host=host, at=Now() - age)


def done(age: timedelta) -> None:
    TaskResult.objects.create(task_id="one")
    TaskResult.objects.update(date_done=timezone.now() - age)


def test_workers_that_are_gone_are_missed_though_they_did_tasks() -> None:
    done(timedelta(days=5))

    lines = said()

    assert [line.partition(":")[0] for line in lines] == [f"fault    {part}" for part in PARTS]
    assert "no task is done. Start one: python -m avram worker." in lines[1]


def test_workers_that_hang_are_missed_though_a_task_was_done_a_moment_ago() -> None:
    beat_all(timedelta(minutes=5))
    done(timedelta(seconds=1))

    lines = said()

    assert [line.partition(":")[0] for line in lines] == [f"fault    {part}" for part in PARTS]
    assert lines[1].startswith("fault    Workers: silent for 5 min: no task is done. Start one: ")


def test_one_of_two_that_hangs_is_a_warning() -> None:
    beat_all(timedelta())
    Heartbeat.objects.create(part="worker", host="two@host", at=Now() - timedelta(minutes=5))

    assert [line.partition(", ")[0] for line in said()] == [
        "ok       Beat: 1 alive.",
        "ok       Workers: 1 alive.",
        "warning  Workers: 1 said nothing for a while",
        "ok       Consumers: 1 alive.",
    ]


def test_what_was_never_started_is_not_missed_yet() -> None:
    lines = said()

    assert [line.partition(":")[0] for line in lines] == [f"warning  {part}" for part in PARTS]
