"""Links to an Airflow 3, whose pages have other addresses: on pages, in the API and in notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from harvest import airflow_api, news, recording, telling
from harvest.airflow_api.hosts import parse_hosts
from harvest.models import HarvestEvent, HarvestRun, Notice
from tests import factories
from tests.factories import HOST, task_error

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture(autouse=True)
def airflow3() -> Iterator[None]:
    keys = {"kind": "mwaa", "environment": "rikolti", "version": 3}
    airflow_api.configure(parse_hosts(json.dumps({HOST: keys})))
    yield
    airflow_api.configure({})


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def record_failure(at: datetime | None = None) -> HarvestRun:
    keys = {"task_id": "mapping.map_page", "map_index": 3, "try_number": 1}
    recorded = recording.record([task_error(at=at, **keys) if at else task_error(**keys)])
    assert recorded.run_id is not None
    run = recording.recompute(recorded.run_id)
    assert run is not None
    return run


def page_of(run: HarvestRun) -> str:
    return f"{HOST}/dags/{run.dag_id}/runs/{quote(run.dag_run_id, safe='')}"


def test_links_on_pages(staff: Client) -> None:
    factories.make_collection()
    run = record_failure()
    event = HarvestEvent.objects.get()
    log = f'href="{page_of(run)}/tasks/mapping.map_page/mapped/3"'

    for links, name, arguments in (
        ((f'href="{page_of(run)}"', log), "harvestrun_change", [run.pk]),
        ((f'href="{page_of(run)}"',), "harvestrun_changelist", []),
        ((f'href="{page_of(run)}"',), "collection_change", [27551]),
        ((log,), "harvestevent_change", [event.pk]),
    ):
        page = staff.get(reverse(f"admin:harvest_{name}", args=arguments)).content.decode()
        for link in links:
            assert link in page, name
        assert "/grid?" not in page, name


def test_links_of_the_api(staff: Client) -> None:
    run = record_failure()

    assert staff.get(f"/api/runs/{run.pk}/").json()["airflow_url"] == page_of(run)
    [event] = staff.get("/api/events/").json()["results"]
    assert event["log_url"] == f"{page_of(run)}/tasks/mapping.map_page/mapped/3"


def test_link_of_a_notice() -> None:
    factories.make_subscription()
    run = record_failure(at=timezone.now())
    due = timezone.now() + news.SETTLE

    for change_id in telling.due_changes(due):
        telling.consider(change_id, due, telling.subscribers())

    assert Notice.objects.get().content["data"]["airflow_url"] == page_of(run)
