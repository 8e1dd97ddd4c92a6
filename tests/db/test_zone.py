"""Moments are in the viewer's zone: each is written so that the browser can, with UTC beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask
from django_celery_results.models import GroupResult, TaskResult
from rest_framework.authtoken.models import TokenProxy

from harvest import recording
from harvest.models import HarvestRun, QueueReading, Redrive
from tests import factories
from tests.browser.world import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def furnish(owner: User) -> None:
    """Make a row of each model that has a page, with all the moments that it may have."""
    now = timezone.now()
    collection = factories.make_collection()
    recording.record([factories.message(), factories.task_error(seconds=5)])
    HarvestRun.objects.update(stale_since=now, lost_since=now)
    recording.record([factories.sqs_message("not JSON")])
    factories.make_trigger(collection, state="accepted", user=owner)
    factories.make_notice(factories.make_subscription(owner=owner))
    TaskResult.objects.create(task_id="a", task_name="a", status="SUCCESS", date_started=now)
    GroupResult.objects.create(group_id="a")
    for source in ("", "rikolti-events"):
        QueueReading.objects.create(
            queue=f"{source or 'rikolti-events'}{'-dlq' if source else ''}",
            source=source, read_at=now, oldest_at=now, visible=1, in_flight=0,
        )  # fmt: skip
    Redrive.objects.create(
        started_at=now, touched_at=now, ended_at=now, kind="events", queue="a-dlq", total=1
    )
    clocked = ClockedSchedule.objects.create(clocked_time=now)
    PeriodicTask.objects.create(
        name="one", task="harvest.read_queues", clocked=clocked, one_off=True,
        start_time=now, expires=now + timedelta(days=1), last_run_at=now,
    )  # fmt: skip
    TokenProxy.objects.create(user=owner)
    LogEntry.objects.log_actions(owner.pk, [collection], CHANGE, "changed")
    User.objects.filter(pk=owner.pk).update(last_login=now)


def pages() -> Iterator[str]:
    """Yield the addresses of all lists and of a page in each, and of the other kinds of pages."""
    for model in admin.site._registry:
        app, name = model._meta.app_label, model._meta.model_name or ""
        yield page(app, name)
        if (row := model._default_manager.order_by("-pk").first()) is not None:
            yield page(app, name, row.user_id if isinstance(row, TokenProxy) else row.pk)
    for kind in ("history", "delete"):
        yield reverse(f"admin:harvest_collection_{kind}", args=[27551])
    yield reverse("admin:index")
    yield reverse("admin:harvest_queues")
    yield reverse("admin:harvest_redrive", args=["events"])


#: What the browser writes in its own zone, and what was written elsewhere.
NOT_OURS = r"<time.*?</time>|<pre.*?</pre>|<script.*?</script>|<[^>]*>"
MOMENT = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d.*"
UNNAMED = r"20\d\d-\d\d-\d\d \d\d:\d\d(?!:\d\d(?: UTC|[.\d]*\+00:00)).*"


def test_browser_writes_the_moments_of_lists_and_the_server_others_with_their_zone(
    client: Client,
) -> None:
    owner = User.objects.create_superuser("ada")
    client.force_login(owner)
    furnish(owner)

    answers = {address: client.get(address) for address in pages()}

    opened = {address: answer for address, answer in answers.items() if answer.status_code == 200}
    assert len(opened) >= 40
    told = {address: moments_of(answer) for address, answer in opened.items()}
    assert {address: moments for address, moments in told.items() if moments} == {}


def test_who_may_not_change_a_schedule_reads_its_moments_with_their_zone(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    furnish(viewer)

    task = PeriodicTask.objects.get(name="one")
    answer = client.get(page("django_celery_beat", "periodictask", task.pk))

    assert answer.content.decode().count(" UTC") >= 3
    assert moments_of(answer) == []


def moments_of(response: Any) -> list[str]:
    """Return the moments in the text of a page that leave it open in which zone they are."""
    html = response.content.decode()
    text = re.sub(NOT_OURS, "", html[html.index("<main") :], flags=re.DOTALL)
    is_list = response.context is not None and "cl" in response.context
    return re.findall(MOMENT if is_list else UNNAMED, text)
