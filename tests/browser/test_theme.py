"""The admin's theme in a browser: the way in, light and dark, and that nothing comes from elsewhere."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from harvest import recording
from harvest.models import HarvestRun, QueueReading
from tests import factories
from tests.browser.conftest import OpenPage, log_in

RUNS = reverse("admin:harvest_harvestrun_changelist")


def failed_run() -> HarvestRun:
    factories.make_collection(27551, name="Postcards")
    result = recording.record([factories.task_error(), factories.failed(seconds=5)])
    assert result.run_id is not None
    run = recording.recompute(result.run_id)
    assert run is not None
    return run


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of an element's text to the ground that it stands on, as WCAG reckons it."""
    ratio: float = page.locator(selector).first.evaluate(
        """element => {
            const canvas = document.createElement("canvas").getContext("2d");
            const grounds = [];
            for (let node = element; node; node = node.parentElement)
                grounds.unshift(getComputedStyle(node).backgroundColor);
            const paint = colours => {
                canvas.fillStyle = "white";
                canvas.fillRect(0, 0, 1, 1);
                for (const colour of colours) {
                    canvas.fillStyle = colour;
                    canvas.fillRect(0, 0, 1, 1);
                }
                const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => {
                    const share = part / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
            };
            const ground = paint(grounds);
            const text = paint([...grounds, getComputedStyle(element).color]);
            return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
        }"""
    )
    return ratio


def test_staff_log_in_and_see_what_failed(open_page: OpenPage, superuser: User) -> None:
    failed_run()
    with open_page() as page:
        page.goto(RUNS)
        page.get_by_label("Username").fill(superuser.username)
        page.get_by_label("Password").fill("a long password")
        page.get_by_role("button", name="Log in").click()

        row = page.get_by_role("row").filter(has_text="Postcards")
        expect(row.locator(".status-failed").first).to_have_text("✖ failed")
        expect(row).to_contain_text("KeyError: 'isShownAt'")


def test_dark_mode_is_switched_on_and_kept(page: Page) -> None:
    page.goto(RUNS)
    expect(page.locator("html")).not_to_have_class("dark")

    page.get_by_role("button", name="Account of staff").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_class("dark")

    page.reload()
    expect(page.locator("html")).to_have_class("dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_status_can_be_read_in_light_and_dark(open_page: OpenPage, superuser: User, scheme: str) -> None:
    failed_run()
    for status in ("running", "succeeded"):
        factories.make_run(status=status)
    factories.make_run(stale_since=factories.START)
    with open_page(color_scheme=scheme) as page:
        log_in(page, superuser)
        page.goto(RUNS)

        for look in ("running", "succeeded", "failed", "stale"):
            assert contrast(page, f".status-{look}") >= 4.5, look


def test_navigation_shows_what_a_person_may_open(open_page: OpenPage, superuser: User) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_harvestrun"))
    with open_page() as page:
        log_in(page, viewer)
        page.goto(reverse("admin:index"))

        links = page.locator("#nav-sidebar-apps a:visible span:not([aria-hidden])")
        assert links.all_inner_texts() == ["Front page", "Runs"]


def test_each_page_needs_nothing_from_elsewhere(page: Page) -> None:
    """The fixture sees to it; here the pages are opened, those of other packages too."""
    run = failed_run()
    recording.record([factories.sqs_message("not JSON")])
    QueueReading.objects.create(
        queue="rikolti-events-dlq",
        source="rikolti-events",
        read_at=timezone.now(),
        visible=1,
        in_flight=0,
    )
    for view, *ids in (
        ("index",),
        ("harvest_harvestrun_change", run.pk),
        ("harvest_harvestevent_change", run.events.filter(error=True)[0].pk),
        ("harvest_rejectedmessage_changelist",),
        ("django_celery_beat_periodictask_add",),
        ("django_celery_beat_crontabschedule_changelist",),
        ("django_celery_results_taskresult_changelist",),
        ("harvest_queues",),
        ("harvest_redrive", "events"),
        ("auth_user_add",),
        ("auth_group_changelist",),
    ):
        response = page.goto(reverse(f"admin:{view}", args=ids))

        assert response is not None
        assert response.status == 200
        expect(page.locator("#nav-sidebar-inner")).to_be_visible()
