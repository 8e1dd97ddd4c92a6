"""The pages of collections: how each stands, and that this costs the same however much there is."""

from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from harvest.airflow import PUBLISH, UNPUBLISH
from harvest.models import Collection, HarvestEvent, HarvestRun, HarvestTrigger
from tests import factories
from tests.factories import START, make_collection, make_run, make_trigger

pytestmark = pytest.mark.django_db

LIST = reverse("admin:harvest_collection_changelist")
MAPPED = "1/vernacular_metadata_1/mapped_metadata_1/"
HOUR = timedelta(hours=1)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def page_url(pk: int = 1) -> str:
    return reverse("admin:harvest_collection_change", args=[pk])


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return unescape(response.content.decode())


def test_list_shows_how_each_stands(staff: Client) -> None:
    collection = make_collection(1, campus_names=["UC Merced"], production_target_version=MAPPED)
    make_collection(2)
    make_run(collection=collection, status="failed", last_heard_at=START - HOUR)
    newest = make_run(
        collection=collection, dag_id=PUBLISH, stale_since=START, last_heard_at=START + HOUR
    )

    page = text_of(staff, LIST)

    assert "running, stale" in page
    assert reverse("admin:harvest_harvestrun_change", args=[newest.pk]) in page
    assert "2026-11-24 04:21:34" in page  # of the last harvest
    assert MAPPED in page
    assert "UC Merced" in page
    assert "✖" not in page


def test_newest_run_that_is_lost_is_said_to_be(staff: Client) -> None:
    make_run(collection=make_collection(1), stale_since=START, lost_since=START)

    assert "running, lost" in text_of(staff, LIST)
    assert "running, lost" in text_of(staff, page_url()).split("Newest runs")[0]


def test_page_shows_the_newest_runs_first(staff: Client) -> None:
    collection = make_collection(1)
    for index in range(30):
        make_run(collection=collection, dag_id=f"dag_{index:02}_", last_heard_at=START + index * HOUR)

    page = text_of(staff, page_url())

    shown = [page.find(f"dag_{index:02}_") for index in range(29, 9, -1)]
    assert -1 not in shown
    assert shown == sorted(shown)
    assert "dag_09_" not in page
    assert f"{reverse('admin:harvest_harvestrun_changelist')}?collection__id__exact=1" in page


def test_page_says_why_a_run_failed(staff: Client) -> None:
    collection = make_collection(1)
    make_run(collection=collection, status="failed", failure_reason="KeyError: 'isShownAt'")

    assert "KeyError: 'isShownAt'" in text_of(staff, page_url())


def test_page_shows_versions_and_which_is_in_production(staff: Client) -> None:
    collection = make_collection(1, production_target_version=MAPPED)
    run = make_run(collection=collection, status="succeeded")
    add_version(run, MAPPED)

    page = text_of(staff, page_url())

    assert page.count(MAPPED) == 2
    assert "✔ in production" in page


def add_version(run: HarvestRun, version: str, number: int = 0) -> None:
    HarvestEvent.objects.create(
        message_id=f"{run.pk} {number}",
        harvest_run=run,
        collection=run.collection,
        sns_timestamp=START + timedelta(seconds=number),
        outcome="running",
        version=version,
        logical_date=START,
        recorded_at=START,
    )


def test_versions_are_those_of_the_newest_events_each_once() -> None:
    collection = make_collection(1)
    run = make_run(collection=collection, status="succeeded")
    for number in range(100):
        add_version(run, f"1/vernacular_metadata_{number // 2}/", number)

    versions = HarvestEvent.objects.versions_of([1, 2])

    assert versions == {1: [f"1/vernacular_metadata_{number}/" for number in range(49, 34, -1)]}


def test_page_shows_triggers(staff: Client) -> None:
    trigger = make_trigger(make_collection(1), state="refused", stderr="status 403: no")

    page = text_of(staff, page_url())

    assert reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]) in page
    assert "status 403: no" in page


def test_page_shows_what_a_person_may_see(client: Client) -> None:
    make_run(collection=make_collection(1), dag_id="a_secret_dag")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_collection"))
    client.force_login(viewer)

    page = text_of(client, page_url())

    assert "a_secret_dag" not in page
    assert "Newest triggers" not in page


def test_production_version_is_not_edited_by_hand(staff: Client) -> None:
    make_collection(1, production_target_version=MAPPED)

    staff.post(page_url(), {"name": "Renamed", "campus_names": "[]", "production_target_version": "x"})

    collection = Collection.objects.get()
    assert (collection.name, collection.production_target_version) == ("Renamed", MAPPED)


@pytest.mark.parametrize("name", ["1" * 30, "²", "x"])
def test_page_of_an_odd_address(staff: Client, name: str) -> None:
    assert staff.get(f"/admin/harvest/collection/{name}/change/").status_code == 302


@pytest.mark.parametrize("url", [LIST, page_url()], ids=["list", "page"])
def test_queries_are_as_many_for_1000_runs_as_for_10(staff: Client, url: str) -> None:
    collection = make_collection(1)

    def populate(numbers: range) -> None:
        runs = HarvestRun.objects.bulk_create(
            HarvestRun(
                collection=collection,
                dag_id="harvest_collection",
                dag_run_id=f"run {number}",
                status="succeeded" if number % 2 else "failed",
                logical_date=START,
                last_heard_at=START,
            )
            for number in numbers
        )
        HarvestEvent.objects.bulk_create(
            HarvestEvent(
                message_id=str(run.pk),
                harvest_run=run,
                collection=collection,
                sns_timestamp=START,
                outcome=run.status,
                error=run.status == "failed",
                version=f"1/vernacular_metadata_{run.pk}/",
                logical_date=START,
                recorded_at=START,
            )
            for run in runs
        )
        HarvestTrigger.objects.bulk_create(
            HarvestTrigger(
                collection=collection,
                dag_id=run.dag_id,
                dag_run_id=run.dag_run_id,
                logical_date=START,
                hostname=factories.HOST,
            )
            for run in runs
        )
        Collection.objects.bulk_create(Collection(pk=2 + number, name="x") for number in numbers)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(staff, url)
        return len(captured)

    populate(range(10))
    few = queries()
    populate(range(10, 1000))

    assert queries() == few


# --- What a run changed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target_version": "v2"}, "version v1 → v2"),
        ({"target_version": "v1"}, "version v1, as before"),
        ({"target_version": "", "dag_id": UNPUBLISH}, "version v1 → none"),
        ({"target_version": "v2", "status": "failed"}, "changed nothing, since it failed"),
    ],
)
def test_run_page_shows_what_it_published(staff: Client, fields: dict[str, str], words: str) -> None:
    collection = make_collection(1)
    make_run(collection=collection, dag_id=PUBLISH, target_version="v1", logical_date=START - HOUR)
    run = make_run(**{"collection": collection, "dag_id": PUBLISH, **fields})

    assert words in text_of(staff, reverse("admin:harvest_harvestrun_change", args=[run.pk]))
