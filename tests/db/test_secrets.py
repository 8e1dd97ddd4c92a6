"""What the web and the log say when something goes wrong holds nothing secret."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from harvest import recording
from harvest.admin.runs import HarvestRunAdmin
from harvest.models import RejectedMessage
from tests import factories
from tests.logged import entries

pytestmark = pytest.mark.django_db

SECRET = "s3cr3t"


def test_error_page_says_nothing(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        password = SECRET
        raise RuntimeError(f"of the database: {password}")

    settings.DEBUG = False
    client.force_login(User.objects.create_superuser("staff"))
    client.raise_request_exception = False
    monkeypatch.setattr(HarvestRunAdmin, "get_queryset", fail)

    response = client.get(reverse("admin:harvest_harvestrun_changelist"))

    assert response.status_code == 500
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize(
    "body",
    [
        SECRET,
        json.dumps(factories.airflow_event(version=SECRET)),
        json.dumps(factories.airflow_event(logical_date=SECRET)),
        factories.sns_body(SECRET, Type=SECRET),
        factories.sns_body(SECRET, Type="SubscriptionConfirmation", TopicArn=SECRET, Token=SECRET),
    ],
    ids=["text", "version", "date", "type", "subscription"],
)
def test_log_of_a_rejected_message_quotes_nothing(body: str, caplog: pytest.LogCaptureFixture) -> None:
    recording.record([factories.sqs_message(body, message_id="4f338efd")])

    (entry,) = entries(caplog, "message_rejected")
    assert (entry["sqs_message_id"], entry["reason"]) == (
        "4f338efd",
        RejectedMessage.objects.get().reason,
    )
    assert SECRET not in caplog.text


def test_log_of_what_the_database_refuses_quotes_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise ValueError(f"Failing row contains (1, {SECRET}).")  # as PostgreSQL says it

    monkeypatch.setattr("harvest.recording.events.HarvestEvent.objects.bulk_create", refuse)
    recording.record([factories.message(rikolti_message=SECRET)])

    assert RejectedMessage.objects.get().reason == "fault"
    assert entries(caplog, "message_rejected")
    assert SECRET not in caplog.text
