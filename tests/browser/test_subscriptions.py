"""Subscriptions in a browser: a person makes one, tries it, and sees what became of that."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.urls import reverse
from playwright.sync_api import expect

from harvest import tasks
from tests import factories
from tests.browser.conftest import OpenPage, log_in


def test_person_subscribes_sends_a_test_and_sees_its_notice(
    open_page: OpenPage, live_server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.deliver_notice, "delay", tasks.deliver_notice)
    factories.make_collection(27551, name="Postcards")
    ada = User.objects.create_user("ada", is_staff=True)
    ada.groups.add(Group.objects.get(name="viewer"))
    with open_page(viewport={"width": 1400, "height": 900}) as page:
        log_in(page, ada)
        page.goto(reverse("admin:harvest_subscription_changelist"))
        page.get_by_role("link", name="Add subscription").first.click()
        expect(page.get_by_text("It takes up to two minutes")).to_be_visible()
        page.get_by_label("Name").fill("my failures")
        page.get_by_label("a run failed").check()
        page.get_by_role("searchbox", name="Collections").press_sequentially("Postc")
        page.get_by_role("option", name="Postcards (27551)").click()
        page.get_by_label("Channel").select_option("mail")
        page.get_by_label("Address").fill("ada@example.org")
        page.get_by_role("button", name="Save", exact=True).click()

        page.get_by_role("row").filter(has_text="my failures").get_by_role("checkbox").check()
        page.locator("select[name=action]").select_option(label="Send a test")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_text("a test is sent within a minute or two")).to_be_visible()
        tasks.tell()
        page.get_by_role("link", name="show", exact=True).click()

        row = page.get_by_role("row").filter(has_text="my failures")
        expect(row).to_contain_text("sent")
    assert [one.to for one in mail.outbox] == [["ada@example.org"]]
