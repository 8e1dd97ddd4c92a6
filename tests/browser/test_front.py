"""The front page in a browser: the way to what failed, and hostile strings as text."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from harvest import recording
from harvest.models import QueueReading
from tests import factories

HOSTILE = (
    "<script>window.bitten = 1</script>\"'><img src=x onerror='window.bitten = 1'>"
    "\N{RIGHT-TO-LEFT OVERRIDE}"
)


def store(*messages: Any) -> int:
    run_id = recording.record(list(messages)).run_id
    assert run_id is not None
    recording.recompute(run_id)
    return run_id


def refresh(page: Page) -> None:
    """Let the page ask again, and wait for the answer."""
    with page.expect_response(lambda response: "x-live" in response.request.headers):
        page.clock.run_for(10_000)


def test_failed_mapped_task_is_found_in_three_clicks(page: Page) -> None:
    factories.make_collection(27551, name="Postcards")
    run_id = recording.record(
        [factories.task_error(task_id="mapping.map_page", map_index=3), factories.failed(seconds=5)]
    ).run_id
    assert run_id is not None
    recording.recompute(run_id)
    page.goto(reverse("admin:index"))

    page.get_by_role("link", name="Postcards (27551)").click()

    went_wrong = page.get_by_role("region", name="What went wrong")
    expect(went_wrong).to_contain_text("mapping.map_page")
    expect(went_wrong).to_contain_text("KeyError: 'isShownAt'")


def test_hostile_strings_are_text(page: Page) -> None:
    factories.make_collection(27551, name=HOSTILE, campus_names=[HOSTILE])
    for number, host in enumerate(
        ("javascript:window.bitten=1", "https://x/\"onclick='window.bitten=1'")
    ):
        run_id = recording.record(
            [
                factories.message(
                    dag_id=HOSTILE,
                    dag_run_id=f"{HOSTILE}{number}",
                    task_id=HOSTILE,
                    host=host,
                    rikolti_message={"error": True, "exception": HOSTILE + "word" * 25_000},
                )
            ]
        ).run_id
        assert run_id is not None
        recording.recompute(run_id)

    for url in (reverse("admin:index"), reverse("admin:harvest_harvestrun_changelist")):
        page.goto(url)
        expect(page.get_by_text("window.bitten = 1").first).to_be_visible()
        assert page.evaluate("window.bitten") is None
        assert page.locator('a[href^="javascript"]').count() == 0
        assert page.locator("img[src=x], [onclick*=bitten]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_page_follows_what_is_recorded(page: Page) -> None:
    page.clock.install()
    store(factories.message(dag_run_id="one", dag_id="first"))
    page.goto(reverse("admin:index"))
    running = page.get_by_role("link", name="running", exact=False).first
    expect(running).to_contain_text("1")
    running.focus()
    page.get_by_text("The same as a table").first.click()

    store(factories.message(dag_run_id="two", dag_id="second", seconds=3))
    store(factories.task_error(dag_run_id="one", dag_id="first", seconds=5))
    store(factories.failed(dag_run_id="one", dag_id="first", seconds=6))
    running.focus()
    refresh(page)

    expect(page.locator("[data-live=failures]")).to_contain_text("KeyError: 'isShownAt'")
    assert page.evaluate("document.activeElement.getAttribute('href')") == running.get_attribute("href")
    expect(page.locator("[data-live=runs] details")).to_have_attribute("open", "")

    page.get_by_label("Refresh by itself").uncheck()
    expect(page.locator("#live-word")).to_contain_text("not refreshed")


def test_page_of_a_run_follows_it_and_leaves_what_is_opened(page: Page) -> None:
    page.clock.install()
    run_id = store(factories.message(task_id="fetch"))
    page.goto(reverse("admin:harvest_harvestrun_change", args=[run_id]))
    expect(page.locator(".answer")).to_have_text("▶ running")
    opened = page.locator("[data-live=tasks] details").first
    opened.locator("summary").click()

    store(factories.task_error(task_id="content", seconds=5))
    store(factories.failed(seconds=6))
    refresh(page)

    expect(page.locator(".answer")).to_have_text("✖ failed")
    expect(page.get_by_role("region", name="What went wrong")).to_contain_text("KeyError: 'isShownAt'")
    expect(opened).to_have_attribute("open", "")
    expect(page.locator("[data-live=tasks]")).not_to_contain_text("content")

    opened.locator("summary").first.click()
    refresh(page)
    expect(page.locator("[data-live=tasks]")).to_contain_text("content")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_charts_can_be_read_and_the_list_fits(page: Page, width: int) -> None:
    now = timezone.now()
    QueueReading.objects.create(queue="rikolti-events", read_at=now, visible=90_000, in_flight=0)
    factories.make_collection(27551, name="Sunset magazine and its illustrated supplements")
    store(
        factories.message(),
        factories.task_error(task_id="map", seconds=4000),
        factories.failed(seconds=5000),
    )
    page.set_viewport_size({"width": width, "height": 900})

    page.goto(reverse("admin:index"))
    sizes = page.eval_on_selector_all(
        ".chart-text",
        """all => all.map(text =>
            parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a)""",
    )
    assert len(sizes) > 10
    assert min(sizes) >= 11
    assert max(sizes) <= 18

    page.goto(reverse("admin:harvest_harvestrun_changelist"))
    expect(page.get_by_role("link", name="open", exact=True)).to_be_in_viewport(ratio=0.9)
