"""The API against its own description: whatever schemathesis asks, the answer is one that it names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, settings
from rest_framework.authtoken.models import Token
from rest_framework.throttling import UserRateThrottle
from schemathesis import Case
from schemathesis.specs.openapi.schemas import OpenApiSchema

from avram.wsgi import application
from harvest.models import HarvestEvent
from tests import factories
from tests.factories import START

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": None})
    key: str = Token.objects.create(user=User.objects.create_superuser("dashboard")).key
    return key


@pytest.fixture
def api_schema(token: str, settings: Any) -> OpenApiSchema:
    settings.ALLOWED_HOSTS = ["localhost"]
    run = factories.make_run(pk=1, collection=factories.make_collection(1))
    HarvestEvent.objects.create(
        pk=1,
        message_id="1",
        harvest_run=run,
        sns_timestamp=START,
        outcome="running",
        logical_date=START,
        recorded_at=START,
        rikolti_message=["anything", {"at": "all"}],
    )
    return schemathesis.openapi.from_wsgi(
        "/api/schema/", application, headers={"Authorization": f"Token {token}"}
    )


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_api_answers_as_it_is_described(case: Case, token: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Token {token}"})


def test_description_is_complete(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff"))

    response = client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})

    assert response.status_code == 200
    assert list(response.json()["paths"]) == [
        "/api/events/",
        "/api/events/{id}/",
        "/api/health/",
        "/api/runs/",
        "/api/runs/{id}/",
        "/api/runs/{run_id}/events/",
    ]
