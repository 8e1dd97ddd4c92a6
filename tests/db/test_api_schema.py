"""The API against its own description: whatever schemathesis asks, the answer is one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import given, settings
from rest_framework.authtoken.models import Token
from rest_framework.throttling import UserRateThrottle
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from avram.wsgi import application
from harvest.models import HarvestEvent
from tests import factories
from tests.factories import START

PATHS = [
    "/api/events/",
    "/api/events/{id}/",
    "/api/health/",
    "/api/runs/",
    "/api/runs/{id}/",
    "/api/runs/{run_id}/events/",
]

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def connection_of_the_test(db: None) -> Iterator[None]:
    """Keep the web from closing it between requests, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(connection_of_the_test: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": None})
    key: str = Token.objects.create(user=User.objects.create_superuser("dashboard")).key
    return key


@pytest.fixture
def api_schema(token: str) -> OpenApiSchema:
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


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_api_answers_as_it_is_described(
    api_schema: OpenApiSchema, token: str, path: str, mode: GenerationMode
) -> None:
    """Asked as described (positive) and as it is not (negative)."""
    operation = api_schema[path]["GET"]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=20, deadline=None, derandomize=True)
    def answers_as_described(case: Case[Any]) -> None:
        if mode is GenerationMode.POSITIVE:
            case.query.pop("cursor", None)  # which only the API itself can make
        case.call_and_validate(headers={"Authorization": f"Token {token}"})

    if mode is GenerationMode.POSITIVE or path != "/api/health/":  # which takes no parameter
        answers_as_described()


def test_description_is_complete(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff"))

    response = client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})

    assert response.status_code == 200
    assert list(response.json()["paths"]) == PATHS
