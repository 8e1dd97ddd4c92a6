"""A web request in the log: who, what, how it was answered; no query, nothing of another request."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from structlog.contextvars import get_contextvars

from harvest.admin.runs import HarvestRunAdmin
from tests.logged import entries

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

RUNS = reverse("admin:harvest_harvestrun_changelist")


def test_request_is_one_entry(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    user = User.objects.create_superuser("staff")
    client.force_login(user)

    response = client.get(f"{RUNS}?q=s3cr3t")

    (entry,) = entries(caplog, "request_answered")
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", RUNS, 200)
    assert (entry["view"], entry["user_id"]) == ("admin:harvest_harvestrun_changelist", user.pk)
    assert entry["request_id"] == response["X-Request-ID"]
    assert "s3cr3t" not in caplog.text
    assert get_contextvars() == {}


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("Root=1-67891233-abcdef012345678912345678", True),
        ("f3a1.b2:c-d_e", True),
        ("", False),
        ("x" * 101, False),
        ("with a space", False),
        ("-begins-oddly", False),
        ("quote\"'<script>", False),
    ],
)
def test_request_id_of_a_proxy_is_taken_if_it_looks_like_one(
    client: Client, given: str, is_taken: bool
) -> None:
    answered = client.get("/admin/login/", headers={"X-Request-ID": given})["X-Request-ID"]

    assert (answered == given) is is_taken
    assert is_taken or re.fullmatch(r"[0-9a-f]{32}", answered)


def test_lists_that_ask_by_themselves_and_probes_are_left_out(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(User.objects.create_superuser("staff"))

    assert client.get(RUNS, headers={"X-Live": "1"}).status_code == 200
    assert client.get("/healthz").status_code == 200

    assert entries(caplog, "request_answered") == []


def test_who_asked_costs_no_query_of_its_own(
    client: Client, caplog: pytest.LogCaptureFixture, django_assert_num_queries: type
) -> None:
    with django_assert_num_queries(0):
        assert client.get("/static/nothing.css").status_code == 404

    (entry,) = entries(caplog, "request_answered")
    assert (entry["status"], entry["user_id"]) == (404, None)


def test_page_that_fails_is_one_error_with_the_request_s_id(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("of the page")

    client.force_login(User.objects.create_superuser("staff"))
    client.raise_request_exception = False
    monkeypatch.setattr(HarvestRunAdmin, "get_queryset", fail)

    assert client.get(RUNS).status_code == 500

    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.name for record in errors] == ["django.request"]
    assert entries(caplog, "request_answered")[0]["status"] == 500
