"""The admin's theme: every page is in it, and the navigation beside them."""

from __future__ import annotations

from html import unescape

import pytest
import unfold.admin
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from avram import theme
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

FLOWER = "https://flower.example.org/"
admin.autodiscover()
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_list_and_form_of_each_model_are_in_the_theme(staff: Client, model: type[Model]) -> None:
    own = admin.site._registry[model]
    view = f"admin:{model._meta.app_label}_{model._meta.model_name}"

    assert isinstance(own, unfold.admin.ModelAdmin)
    assert 'id="nav-sidebar-inner"' in text_of(staff, reverse(f"{view}_changelist"))
    assert staff.get(reverse(f"{view}_add")).status_code in (200, 403)


@pytest.mark.parametrize("debug", [True, False])
def test_only_development_is_named(staff: Client, settings: Settings, debug: bool) -> None:
    settings.UNFOLD = theme.unfold(debug=debug, flower_url="")

    assert ("development" in text_of(staff, reverse("admin:index"))) is debug


def test_what_is_no_page_has_the_icon_too(client: Client) -> None:
    response = client.get("/favicon.ico", follow=True)

    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    response.close()


def test_flower_opens_in_a_tab_of_its_own(staff: Client, settings: Settings) -> None:
    settings.UNFOLD = theme.unfold(debug=False, flower_url=FLOWER)

    link = f'<a href="{FLOWER}" target="_blank" rel="noopener noreferrer"'
    assert link in text_of(staff, reverse("admin:index"))


def test_no_flower_no_link(staff: Client, settings: Settings) -> None:
    settings.UNFOLD = theme.unfold(debug=False, flower_url="")

    assert "Flower" not in text_of(staff, reverse("admin:index"))


def test_list_that_is_shown_whole_offers_no_more(staff: Client) -> None:
    factories.make_run(dag_id="one")
    factories.make_run(dag_id="other")
    url = reverse("admin:harvest_harvestrun_changelist")

    assert "Show all" not in text_of(staff, url)
    assert "1 result (" in text_of(staff, f"{url}?dag_id=one")
