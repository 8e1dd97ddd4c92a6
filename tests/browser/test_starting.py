"""Starting a harvest from where its result is seen, in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from playwright.sync_api import Page, expect

from harvest import airflow_api, recording
from harvest.models import HarvestTrigger
from tests.browser.conftest import OpenPage, log_in
from tests.factories import HOST, complete, make_collection, message
from tests.fake_airflow import FakeAirflow

VERNACULAR = "27551/vernacular_metadata_2026-11-24T05:21:45/"
MAPPED = f"{VERNACULAR}mapped_metadata_2026-11-24T05:22:03/"
PAGE = reverse("admin:harvest_collection_change", args=[27551])


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    fake = FakeAirflow()
    monkeypatch.setitem(airflow_api._clients, HOST, fake.client)
    return fake


@pytest.fixture
def publisher(open_page: OpenPage, airflow: FakeAirflow) -> Iterator[Page]:
    """A page of a person who may start runs, and of a collection that was harvested."""
    make_collection(27551, name="Postcards", campus_names=["UC Merced"])
    harvest = [message(), message(seconds=3, rikolti_message=MAPPED), complete(seconds=9)]
    recorded = recording.record(harvest)
    assert recorded.run_id is not None
    recording.recompute(recorded.run_id)
    with open_page(viewport={"width": 1400, "height": 900}) as page:
        log_in(page, user("trigger_run", "view_collection", "view_harvesttrigger", "view_harvestrun"))
        yield page


def user(*codenames: str) -> User:
    person = User.objects.create_user("ada", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return person


def test_harvest_is_started_from_the_page_of_a_collection(publisher: Page, airflow: FakeAirflow) -> None:
    publisher.goto(PAGE)
    expect(publisher.locator("#runs")).to_contain_text("✔ succeeded")
    publisher.get_by_role("link", name="Start a harvest …").click()
    expect(publisher.locator("#start_form")).to_contain_text("harvest_collection will run in Airflow")
    assert airflow.asked == []

    publisher.get_by_role("button", name="Start", exact=True).click()

    expect(publisher.locator("#started")).to_contain_text("1 accepted")
    (dag_run_id,) = [run_id for _, run_id in airflow.runs]
    link = publisher.locator("#started a", has_text="open")
    expect(link).to_have_attribute(
        "href", f"{HOST}/dags/harvest_collection/grid?dag_run_id={dag_run_id}&base_date="
    )
    publisher.goto(PAGE)
    expect(publisher.locator("#triggers")).to_contain_text("✔ accepted")


def test_double_click_starts_one_run(publisher: Page, airflow: FakeAirflow) -> None:
    publisher.goto(PAGE)
    publisher.get_by_role("link", name="Start a harvest …").click()

    publisher.get_by_role("button", name="Start", exact=True).dblclick()

    expect(publisher.locator("#started")).to_be_visible()
    assert len(airflow.runs) == 1
    assert HarvestTrigger.objects.count() == 1


def test_version_that_a_harvest_made_is_published(publisher: Page, airflow: FakeAirflow) -> None:
    publisher.goto(PAGE)
    publisher.get_by_role("link", name="Publish a version …").click()
    expect(publisher.get_by_label("Postcards (27551)")).to_have_value(MAPPED)

    publisher.get_by_role("button", name="Start", exact=True).click()

    expect(publisher.locator("#started")).to_contain_text("1 accepted")
    (run,) = airflow.runs.values()
    assert run["conf"] == {"collection_id": "27551", "version": MAPPED}


def test_without_the_permission_there_is_no_button_and_no_way(
    open_page: OpenPage, airflow: FakeAirflow
) -> None:
    make_collection(27551)
    with open_page() as page:
        log_in(page, user("view_collection", "change_collection"))
        page.goto(PAGE)
        expect(page.get_by_role("navigation", name="Start runs")).to_have_count(0)

        answer = page.context.request.get(
            reverse("admin:harvest_collection_start", args=["harvest"]) + "?ids=27551"
        )

    assert answer.status == 403
    assert airflow.asked == []
