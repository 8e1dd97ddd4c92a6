"""What an address may ask a list or a page for, though no row can be it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import models, transaction
from django.test import Client
from django.urls import reverse

from harvest.models import HarvestRun, RejectedMessage
from tests import factories
from tests.db.test_admin_hostile import list_url, page_url, record

pytestmark = pytest.mark.django_db

admin.autodiscover()
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)

NUL = "a\0b"
HUGE = "9" * 30
ENDS_OF_TIME = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def get(client: Client, url: str, **query: str) -> Any:
    with transaction.atomic():  # what PostgreSQL refuses ends no more than this
        response = client.get(url, query)
        transaction.set_rollback(True)
    return response


def lookups(model: type[models.Model]) -> list[tuple[str, str]]:
    """Return what no row can be, by each of a model's columns: names and values of an address."""
    asked: list[tuple[str, str]] = []
    for field in model._meta.concrete_fields:
        if isinstance(field, models.DateTimeField):
            asked += [(f"{field.name}__gte", moment) for moment in ENDS_OF_TIME]
        elif isinstance(field, models.CharField | models.TextField):
            asked.append((f"{field.name}__exact", NUL))
        else:
            asked.append((field.name, HUGE))
    return asked


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_list_is_shown_whatever_its_address_asks_for(staff: Client, model: type[models.Model]) -> None:
    record(factories.message(), factories.sqs_message("no JSON"))
    asked = lookups(model)

    assert asked
    for name, value in asked:
        for flag in ({}, {"e": "1"}):
            response = get(staff, list_url(model), **flag, **{name: value})
            if response.status_code == 302:
                assert response["Location"].endswith("?e=1")
            else:
                assert response.status_code == (400 if name.startswith("password") else 200), name
                assert "admin/invalid_setup.html" not in [each.name for each in response.templates]


@pytest.mark.parametrize("model", [HarvestRun, RejectedMessage, User], ids=lambda model: model.__name__)
@pytest.mark.parametrize("value", [NUL, HUGE, "²", "", "x"])
def test_row_that_no_row_can_be_is_a_bad_request(
    staff: Client, model: type[models.Model], value: str
) -> None:
    asked = {"action": "delete_selected", "_selected_action": value}

    assert staff.post(list_url(model), asked).status_code == 400


def test_post_to_an_address_that_cannot_be_looked_up_leads_to_the_list(staff: Client) -> None:
    run = factories.make_run()
    url = f"{list_url(HarvestRun)}?last_heard_at__gte={quote(ENDS_OF_TIME[0])}"

    with transaction.atomic():
        response = staff.post(url, {"action": "recompute", "_selected_action": run.pk})
        transaction.set_rollback(True)

    assert response.status_code == 302
    assert response["Location"].endswith("?e=1")


def test_list_says_why_it_is_shown_without_filters(staff: Client) -> None:
    response = get(staff, list_url(User), date_joined__gte=ENDS_OF_TIME[0])

    [said] = get_messages(response.wsgi_request)
    assert said.message == "The address asks for what no row can be: the list is shown without filters."


def test_fault_that_no_address_made_is_one(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*arguments: object) -> None:
        raise OverflowError("a planted fault")

    own = admin.site._registry[User]
    monkeypatch.setattr(type(own), "get_queryset", stumble)

    for query in ({}, {"e": "1"}):
        with pytest.raises(OverflowError):
            staff.get(list_url(User), query)


@pytest.mark.parametrize("name", ["task", "page", "events", "tasks"])
@pytest.mark.parametrize("value", [NUL, HUGE, "", "²"])
def test_page_of_a_run_with_any_address(staff: Client, name: str, value: str) -> None:
    run = factories.make_run()
    task = reverse("admin:harvest_harvestrun_task", args=[run.pk])

    assert get(staff, page_url(run), **{name: value}).status_code == 200
    assert get(staff, task, **{"task": "a", name: value}).status_code in (200, 404)
