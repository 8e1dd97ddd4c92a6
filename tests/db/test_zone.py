"""Moments are in the viewer's zone: each is written so that the browser can, with UTC beside it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from harvest import recording
from harvest.models import HarvestEvent, QueueReading, RejectedMessage
from tests import factories
from tests.browser.world import page

pytestmark = pytest.mark.django_db


def test_no_page_of_ours_tells_a_moment_by_the_server_alone(client: Client) -> None:
    owner = User.objects.create_superuser("staff")
    client.force_login(owner)
    now = timezone.now()
    collection = factories.make_collection()
    run = recording.record([factories.message()]).run_id
    recording.record([factories.sqs_message("not JSON")])
    trigger = factories.make_trigger(collection, state="accepted")
    notice = factories.make_notice(factories.make_subscription(owner=owner))
    result = TaskResult.objects.create(task_id="a", task_name="a", status="SUCCESS")
    reading = QueueReading.objects.create(
        queue="rikolti-events", read_at=now, oldest_at=now, visible=1, in_flight=0
    )
    PeriodicTask.objects.update(last_run_at=now)

    pages = [
        *(page("harvest", name) for name in (
            "harvestrun", "harvestevent", "rejectedmessage", "notice", "harvesttrigger", "queuereading",
            "collection",
        )),
        page("django_celery_results", "taskresult"),
        page("django_celery_beat", "periodictask"),
        page("harvest", "collection", collection.pk),
        page("harvest", "harvestevent", HarvestEvent.objects.get().pk),
        page("harvest", "rejectedmessage", RejectedMessage.objects.get().pk),
        page("harvest", "notice", notice.pk),
        page("harvest", "harvesttrigger", trigger.pk),
        page("harvest", "queuereading", reading.pk),
        page("django_celery_results", "taskresult", result.pk),
        page("harvest", "queuereading", "queues"),
    ]  # fmt: skip
    pages[-1] = pages[-1].replace("queues/change/", "queues/")
    found = {}
    for address in pages:
        text = client.get(address).content.decode()
        own = text[text.index("<main") :]
        bare = re.sub(r"<time.*?</time>|<script.*?</script>|<[^>]*>", "", own, flags=re.DOTALL)
        found[address] = re.findall(r"(?<![T\w])20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(?! UTC)", bare)

    assert run is not None
    assert {address: moments for address, moments in found.items() if moments} == {}
