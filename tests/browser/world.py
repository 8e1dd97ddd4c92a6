"""A registry with something on each page: the cast of the demo, through the pipeline's own functions.

At a moment that stands still, so that it looks the same whenever it is made.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from harvest import recording
from harvest.models import (
    Collection,
    HarvestEvent,
    HarvestRun,
    QueueReading,
    Redrive,
    RejectedMessage,
)
from local.scripts import COLLECTIONS, TRACEBACK, Script, scripts
from tests import factories

NOW = datetime(2026, 11, 24, 17, 30, tzinfo=UTC)


def furnish(monkeypatch: pytest.MonkeyPatch, owner: User) -> dict[str, str]:
    """Make it all. Return the address of each page, by its name."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    for pk, name, campus, mapper in COLLECTIONS:
        factories.make_collection(
            pk, name=name, campus_names=[campus], harvest_type="OAI", mapper_type=mapper
        )
    for day in range(6, -1, -1):
        for number, script in enumerate(scripts()):
            if day == 0 or number in (day % 3, 2):
                silent = timedelta(hours=8 if script.conf.get("collection_id") == "509" else 0)
                started = NOW - timedelta(days=day, minutes=41 - 6 * number) - silent
                play(script, started, str(day))
    for run in HarvestRun.objects.filter(collection_id=509):
        recording.mark_stale(run.pk)
    broken = factories.sns_body(
        '{"dag_id": "harvest_collection", "dag_run_id": manual}', at=NOW, message_id="b"
    )
    for number, body in enumerate(("not JSON", broken)):
        recording.record([factories.sqs_message(body, sent_at=NOW, message_id=f"rejected-{number}")])
    return {**_rest(owner), **_pages()}


def play(script: Script, started: datetime, key: str) -> None:
    """Record a run's events, and what follows from them."""
    at, messages = started, []
    for number, line in enumerate(script.lines):
        at += timedelta(seconds=7 * line.pause)
        messages.append(
            factories.message(
                message_id=f"{script.title}-{key}-{number}"[:90],
                at=at,
                dag_id=script.dag_id,
                dag_run_id=f"manual__{started.isoformat()}",
                logical_date=started.isoformat(),
                dag_run_conf=script.conf,
                task_id=line.task_id,
                map_index=line.map_index,
                try_number=line.try_number,
                rikolti_message=line.message,
            )
        )
    run_id = recording.record(messages).run_id
    if run_id is not None:
        recording.recompute(run_id)


def _rest(owner: User) -> dict[str, str]:
    collection = Collection.objects.get(pk=27551)
    trigger = factories.make_trigger(
        collection, state="refused", user=owner, stderr="The DAG is paused.", logical_date=NOW
    )
    for name in ("rikolti-events", "rikolti-events-dlq", "avram-tasks", "avram-tasks-dlq"):
        source = name.removesuffix("-dlq") if name.endswith("-dlq") else ""
        QueueReading.objects.bulk_create(
            QueueReading(
                queue=name,
                source=source,
                read_at=NOW - timedelta(minutes=10 * ago),
                visible=3 if source else (ago * 7) % 19,
                in_flight=0 if source else 2,
            )
            for ago in range(140)
        )
    Redrive.objects.create(
        kind="events", queue="rikolti-events-dlq", total=12, taken=12, user=owner,
        started_at=NOW - timedelta(hours=3), touched_at=NOW, ended_at=NOW - timedelta(hours=2),
    )  # fmt: skip
    run = HarvestRun.objects.filter(status="failed").first()
    result = TaskResult.objects.create(
        task_id="a", task_name="harvest.recompute_run_status", status="FAILURE",
        task_args=json.dumps(f"({run.pk if run else 0},)"), traceback=TRACEBACK, worker="worker@host",
    )  # fmt: skip
    subscription = factories.make_subscription(owner=owner)
    notice = factories.make_notice(subscription)
    return {
        "user": page("auth", "user", owner.pk),
        "group": page("auth", "group", Group.objects.get(name="operator").pk),
        "trigger": page("harvest", "harvesttrigger", trigger.pk),
        "result": page("django_celery_results", "taskresult", result.pk),
        "subscription": page("harvest", "subscription", subscription.pk),
        "notice": page("harvest", "notice", notice.pk),
    }


def _pages() -> dict[str, str]:
    failed = HarvestRun.objects.filter(status="failed").latest("last_heard_at")
    running = HarvestRun.objects.filter(stale_since__isnull=False).latest("last_heard_at")
    error = HarvestEvent.objects.filter(error=True).latest("sns_timestamp")
    start = reverse("admin:harvest_collection_start", args=["harvest"])
    return {
        "front": reverse("admin:index"),
        "runs": page("harvest", "harvestrun"),
        "runs, with the filters open": page("harvest", "harvestrun"),
        "runs, with one chosen": page("harvest", "harvestrun"),
        "run": page("harvest", "harvestrun", failed.pk),
        "stale run": page("harvest", "harvestrun", running.pk),
        "events": page("harvest", "harvestevent"),
        "event": page("harvest", "harvestevent", error.pk),
        "rejected messages": page("harvest", "rejectedmessage"),
        "rejected message": page("harvest", "rejectedmessage", RejectedMessage.objects.latest("pk").pk),
        "collections": page("harvest", "collection"),
        "collection": page("harvest", "collection", 27551),
        "start": f"{start}?ids=27551",
        "triggers": page("harvest", "harvesttrigger"),
        "queues": reverse("admin:harvest_queues"),
        "redrive": reverse("admin:harvest_redrive", args=["events"]),
        "results": page("django_celery_results", "taskresult"),
        "schedules": page("django_celery_beat", "periodictask"),
        "schedule": page("django_celery_beat", "periodictask", _schedule().pk),
        "subscriptions": page("harvest", "subscription"),
        "delete": reverse("admin:harvest_collection_delete", args=[466]),
    }


def _schedule() -> PeriodicTask:
    found: PeriodicTask | None = PeriodicTask.objects.first()
    assert found is not None
    return found


def page(app: str, model: str, pk: int | str | None = None) -> str:
    if pk is None:
        return reverse(f"admin:{app}_{model}_changelist")
    return reverse(f"admin:{app}_{model}_change", args=[pk])
