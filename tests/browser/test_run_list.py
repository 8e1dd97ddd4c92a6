"""The list of runs in a browser: it follows what is recorded, and leaves alone what a person does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.urls import reverse
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from harvest import recording
from harvest.models import HarvestRun
from tests import factories
from tests.browser.conftest import PATIENCE, OpenPage, log_in

RUNS = reverse("admin:harvest_harvestrun_changelist")


def store(*messages: Any) -> HarvestRun:
    run_id = recording.record(list(messages)).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


@pytest.fixture
def quick(page: Page) -> Page:
    """A page whose clock the test turns, so that no test waits for the next refresh."""
    page.clock.install()
    return page


def refresh(page: Page) -> None:
    """Let the page ask again, and wait for the answer."""
    with page.expect_response(lambda response: "x-live" in response.request.headers):
        page.clock.run_for(5_000)


def row(page: Page, text: str) -> Any:
    return page.locator("#result_list tr.data-row").filter(has_text=text)


def test_list_follows_what_is_recorded(quick: Page) -> None:
    store(factories.message(dag_run_id="one", dag_id="first"))
    quick.goto(RUNS)
    expect(row(quick, "first").locator(".status")).to_have_text("▶ running")
    expect(quick.locator("#live-word")).to_contain_text("updated")

    store(factories.task_error(dag_run_id="one", dag_id="first", seconds=5))
    store(factories.message(dag_run_id="two", dag_id="second", seconds=6))
    refresh(quick)

    expect(row(quick, "first").locator(".status").first).to_have_text("✖ failed")
    expect(row(quick, "first")).to_contain_text("KeyError: 'isShownAt'")
    assert quick.locator("td.field-what .aside").all_inner_texts() == ["second", "first"]
    expect(quick.locator("#live-pages")).to_contain_text("2 harvest runs")


def test_empty_list_begins_and_its_rows_can_be_ticked(quick: Page) -> None:
    quick.goto(RUNS)
    expect(quick.get_by_text("No results found")).to_be_visible()

    store(factories.message(dag_id="first"))
    refresh(quick)
    row(quick, "first").locator("input.action-select").check()

    expect(quick.locator(".action-counter")).to_have_text("1 of 1 selected")


def test_selection_focus_scroll_and_filters_are_kept(quick: Page) -> None:
    for number in range(40):
        store(factories.message(dag_run_id=f"{number}", task_id=f"{number}", seconds=number))
    quick.goto(f"{RUNS}?status__exact=running")
    ticked = quick.locator("tr.data-row").all()[25:27]
    keys = [ticked_row.locator("input.action-select").get_attribute("value") for ticked_row in ticked]
    for ticked_row in ticked:
        ticked_row.locator("input.action-select").check()
    link = quick.locator("tr.data-row").nth(30).locator("th a, td a").first
    link.focus()
    href = link.get_attribute("href")
    before = quick.evaluate("document.activeElement.getBoundingClientRect().top")
    assert quick.evaluate("scrollY") > 0

    store(factories.message(dag_id="newest", seconds=100))
    store(factories.failed(dag_id="other", dag_run_id="failed", seconds=101))
    refresh(quick)

    expect(row(quick, "newest")).to_be_attached()
    expect(row(quick, "other")).to_have_count(0)
    checked = quick.locator("input.action-select:checked")
    assert [box.get_attribute("value") for box in checked.all()] == keys
    expect(quick.locator(".action-counter")).to_have_text("2 of 41 selected")
    assert quick.evaluate("document.activeElement.getAttribute('href')") == href
    after = quick.evaluate("document.activeElement.getBoundingClientRect().top")
    assert abs(after - before) < 5

    row(quick, "newest").locator("input.action-select").check()
    expect(quick.locator(".action-counter")).to_have_text("3 of 41 selected")


def test_ticked_run_that_leaves_the_list_stays_until_it_is_let_go(quick: Page) -> None:
    run = store(factories.message(dag_run_id="one", dag_id="first"))
    store(factories.message(dag_run_id="two", dag_id="second", seconds=1))
    quick.goto(f"{RUNS}?status__exact=running")
    box = row(quick, "first").locator("input.action-select")
    box.check()

    store(factories.complete(dag_run_id=run.dag_run_id, dag_id="first", seconds=5))
    refresh(quick)
    expect(box).to_be_checked()

    box.uncheck()
    quick.locator("#searchbar").focus()
    refresh(quick)
    expect(row(quick, "first")).to_have_count(0)


def test_switch_stops_it_and_is_remembered(quick: Page) -> None:
    store(factories.message(dag_id="first"))
    quick.goto(RUNS)
    quick.get_by_label("Refresh by itself").uncheck()
    expect(quick.locator("#live-word")).to_contain_text("not refreshed")
    asked: list[str] = []
    quick.on("request", lambda request: asked.append(request.url))

    quick.clock.run_for(60_000)
    assert asked == []

    quick.reload()
    expect(quick.get_by_label("Refresh by itself")).not_to_be_checked()
    store(factories.message(dag_run_id="two", dag_id="second"))
    quick.get_by_label("Refresh by itself").check()
    quick.clock.run_for(1)
    expect(row(quick, "second")).to_be_attached()


def test_hidden_tab_asks_for_nothing_until_it_is_seen(quick: Page) -> None:
    store(factories.message(dag_id="first"))
    quick.goto(RUNS)
    expect(quick.locator("#live-word")).to_contain_text("updated")
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    quick.evaluate(hide, True)
    asked: list[str] = []
    quick.on("request", lambda request: asked.append(request.url))
    quick.clock.run_for(60_000)
    assert asked == []

    store(factories.message(dag_run_id="two", dag_id="second"))
    quick.evaluate(hide, False)
    quick.clock.run_for(1)
    expect(row(quick, "second")).to_be_attached()


@pytest.fixture
def quick_in_trouble(browser: Browser, live_server: LiveServer, superuser: User) -> Iterator[Page]:
    """The same, where the console may complain: it does of each request that fails."""
    with browser.new_context(base_url=live_server.url) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.clock.install()
        log_in(page, superuser)
        yield page


def test_list_says_that_the_server_is_away_and_stops(quick_in_trouble: Page) -> None:
    quick = quick_in_trouble
    store(factories.message(dag_id="first"))
    quick.goto(RUNS)
    expect(quick.locator("#live-word")).to_contain_text("updated")
    answers: list[str] = []

    def away(route: Route) -> None:
        answers.append(route.request.url)
        route.abort()

    quick.route("**/harvestrun/**", away)
    for wait in (5_000, 10_000, 20_000, 60_000):
        quick.clock.run_for(wait)
        quick.wait_for_timeout(250)

    expect(quick.get_by_role("status").filter(has_text="Stopped")).to_contain_text("does not answer")
    assert len(answers) == 3
    expect(row(quick, "first")).to_be_attached()


def test_list_says_that_the_session_has_ended_and_stops(quick: Page) -> None:
    store(factories.message(dag_id="first"))
    quick.goto(RUNS)
    expect(quick.locator("#live-word")).to_contain_text("updated")

    Session.objects.all().delete()
    refresh(quick)

    expect(quick.get_by_role("status").filter(has_text="Stopped")).to_contain_text("session has ended")
    expect(row(quick, "first")).to_be_attached()
    assert quick.url.endswith(RUNS)


def test_one_question_at_a_time(quick: Page) -> None:
    store(factories.message(dag_id="first"))
    quick.goto(RUNS)
    expect(quick.locator("#live-word")).to_contain_text("updated")
    waiting: list[Route] = []
    quick.route("**/harvestrun/**", lambda route: waiting.append(route))

    quick.clock.run_for(14_000)
    quick.wait_for_timeout(200)
    assert len(waiting) == 1


def test_times_are_in_the_zone_of_the_viewer_with_utc_on_hover(
    open_page: OpenPage, superuser: User
) -> None:
    store(factories.message())
    with open_page(timezone_id="America/Los_Angeles") as page:
        log_in(page, superuser)
        page.clock.set_fixed_time("2026-12-01")
        page.goto(RUNS)

        moment = page.locator("td.field-last_event time")
        expect(moment).to_have_text("11-23 21:21")
        expect(moment).to_have_attribute("title", "2026-11-24 05:21:34 UTC")
        page.clock.set_fixed_time("2027-02-01")
        page.reload()
        expect(moment).to_have_text("2026-11-23 21:21")


def test_filters_are_combined_by_clicks_and_by_the_form(page: Page) -> None:
    store(factories.task_error(dag_id="first"))
    store(factories.message(dag_id="second", dag_run_id="two"))
    page.goto(RUNS)

    # By the keyboard: in the theme it is a link to nowhere.
    page.get_by_role("button", name="Filters").focus()
    page.keyboard.press("Enter")
    page.locator("#changelist-filter").get_by_role("link", name="has errors").click()
    page.get_by_text("Filters filter_list").click()
    page.get_by_placeholder("From").fill("2026-11-24")
    page.get_by_placeholder("To", exact=True).fill("2026-11-24")
    page.get_by_role("button", name="Apply Filters").click()

    expect(page).to_have_url(
        re.compile(r"errors=yes.*last_heard_at_to=2026-11-24|last_heard_at_to.*errors=yes")
    )
    assert page.locator("td.field-what .aside").all_inner_texts() == ["first"]
