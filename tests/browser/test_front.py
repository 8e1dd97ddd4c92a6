"""The front page in a browser: the way to what failed, and hostile strings as text."""

from __future__ import annotations

from django.urls import reverse
from playwright.sync_api import Page, expect

from harvest import recording
from tests import factories

HOSTILE = (
    "<script>window.bitten = 1</script>\"'><img src=x onerror='window.bitten = 1'>"
    "\N{RIGHT-TO-LEFT OVERRIDE}"
)


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
