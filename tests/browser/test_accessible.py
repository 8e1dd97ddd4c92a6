"""Each page is for everyone: what axe finds, light and dark, wide and narrow; and the keyboard alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from harvest import recording
from tests import factories
from tests.browser import world
from tests.browser.conftest import OpenPage, log_in
from tests.browser.keyboard import covered, outlined, tab_to

WIDE = {"width": 1400, "height": 900}
NARROW = {"width": 390, "height": 844}

#: Rules that the theme breaks where we can't mend it, each with the reason. There are none so far.
NOT_OURS: dict[str, str] = {}

#: What is clicked on a page before a look at it.
CLICKS = {
    "runs, with the filters open": "#content >> text=Filters",
    "runs, with one chosen": ".action-select",
}

OPTIONS = {"resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in NOT_OURS}}
COLOURS = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}

LOOKS: list[tuple[str, dict[str, int], dict[str, Any]]] = [
    ("light", WIDE, OPTIONS),
    ("dark", WIDE, COLOURS),
    ("dark", NARROW, OPTIONS),
    ("light", NARROW, COLOURS),
]


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    """Return what axe finds: rule, element, and what is wrong with it."""
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary'].splitlines()[1:2]}"
        for violation in found
        for node in violation["nodes"][:3]
    ]


def look_at(page: Page, name: str, address: str) -> list[str]:
    """Return what axe finds on a page, in all four looks of it.

    All rules are asked at both sizes, and those of colours in both schemes at both: nothing else goes by
    the scheme.
    """
    troubles = []
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.goto(address)
    page.add_style_tag(
        content="*, ::before, ::after { transition: none !important; animation: none !important }"
    )
    looks = LOOKS
    if name in CLICKS:
        page.locator(CLICKS[name]).first.click()
        looks = [look for look in LOOKS if look[2] is OPTIONS]  # The rest of the page has been seen.
    for scheme, size, options in looks:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        troubles += [f"{name}, {scheme}, {size['width']}: {one}" for one in violations(page, options)]
    return troubles


@pytest.mark.timeout(900)  # It takes one to two minutes, and thrice that beside other tests.
def test_axe_finds_nothing(page: Page, superuser: User, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)
    pages = world.furnish(monkeypatch, superuser)

    troubles = [trouble for name, address in pages.items() for trouble in look_at(page, name, address)]

    assert troubles == [], "\n".join(troubles)


def test_axe_finds_nothing_before_the_login(open_page: OpenPage) -> None:
    with open_page() as page:
        assert look_at(page, "login", reverse("admin:login")) == []


def test_run_is_found_and_decided_with_the_keyboard_alone(page: Page) -> None:
    result = recording.record([factories.message()])
    assert result.run_id is not None
    run = recording.recompute(result.run_id)
    assert run is not None
    page.goto(reverse("admin:harvest_harvestrun_changelist"))

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    link = page.locator(f'main a[href*="/harvestrun/{run.pk}/change/"]').first
    tab_to(page, link)
    assert outlined(page)
    page.keyboard.press("Enter")

    page.wait_for_url("**/change/**")
    status = page.locator("#id_status")
    tab_to(page, status)
    assert outlined(page)
    page.keyboard.press("f")  # the choice that begins with it
    expect(status).to_have_value("failed")
    tab_to(page, page.locator("#id_status_note"))
    page.keyboard.type("Its machine is gone")
    page.keyboard.press("Enter")

    expect(page.locator(".answer")).to_contain_text("failed")
    expect(page.locator("main")).to_contain_text("Its machine is gone")
    expect(page.locator("main")).to_contain_text("The status is set, by your decision.")


def test_each_row_of_a_list_is_seen_where_the_keyboard_goes(page: Page) -> None:
    for number in range(20):
        factories.make_run(dag_run_id=f"manual__{number}")
    page.goto(reverse("admin:harvest_harvestrun_changelist"))
    page.locator(".action-select").first.focus()

    hidden = []
    for _ in range(60):
        page.keyboard.press("Tab")
        hidden.append(covered(page))

    assert [one for one in hidden if one] == []


def test_account_and_navigation_are_reached_with_the_keyboard_alone(
    open_page: OpenPage, superuser: User
) -> None:
    with open_page(viewport=NARROW) as page:
        log_in(page, superuser)
        page.goto(reverse("admin:index"))
        opener = page.locator("main").get_by_role("button", name="Navigation")

        tab_to(page, opener)
        assert outlined(page)
        page.keyboard.press("Enter")
        expect(opener).to_have_attribute("aria-expanded", "true")
        expect(page.get_by_role("button", name="Close the navigation")).to_be_focused()
        page.keyboard.press("Escape")
        expect(opener).to_be_focused()
        page.keyboard.press("Enter")
        tab_to(page, page.locator("#nav-sidebar").get_by_role("link", name="Runs"))
        assert outlined(page)
        page.keyboard.press("Enter")
        page.wait_for_url("**/harvestrun/")

        page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        tab_to(page, page.get_by_role("button", name=f"Account of {superuser.username}"))
        assert outlined(page)
        page.keyboard.press("Enter")
        dark = page.get_by_role("button", name="Dark")
        tab_to(page, dark)
        page.keyboard.press("Space")
        expect(page.locator("html")).to_have_class("dark")
        expect(dark).to_have_attribute("aria-pressed", "true")
        tab_to(page, page.get_by_role("button", name="Log out"))
        assert outlined(page)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("logged out")


def test_moments_are_in_the_zone_of_who_looks_and_in_utc_on_hover(
    open_page: OpenPage, superuser: User
) -> None:
    recording.record([factories.message()])
    with open_page(timezone_id="America/Los_Angeles") as page:
        log_in(page, superuser)
        page.goto(reverse("admin:harvest_harvestevent_changelist"))
        moment = page.locator("main time[title='2026-11-24 05:21:34 UTC']").first
        expect(moment).to_have_text("2026-11-23 21:21:34")
        expect(page.locator("#zone")).to_contain_text("America/Los_Angeles")


def test_run_of_a_thousand_tasks_fits_a_telephone(open_page: OpenPage, superuser: User) -> None:
    mapped = [
        factories.message(task_id="mapping.map_page", map_index=number, seconds=number)
        for number in range(940)
    ]
    single = [
        factories.message(task_id=f"group_{number}.a_rather_long_name_of_a_task", seconds=1000 + number)
        for number in range(60)
    ]
    result = recording.record([*mapped, *single])
    assert result.run_id is not None
    recording.recompute(result.run_id)
    with open_page(viewport=NARROW) as page:
        log_in(page, superuser)
        page.goto(world.page("harvest", "harvestrun", result.run_id))
        expect(page.get_by_role("region", name="Table of tasks")).to_contain_text("940 mapped")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= NARROW["width"]
        high = page.evaluate("document.documentElement.scrollHeight")
        assert high <= 8 * NARROW["height"]

        page.locator(".timeline").get_by_role("link", name="mapping.map_page").focus()
        assert outlined(page)
        page.keyboard.press("Enter")
        opened = page.get_by_role("table", name="mapping.map_page")
        expect(opened).to_contain_text("[49]")
        expect(opened).to_be_in_viewport()
