"""A task ends well though its result can't be kept."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django_celery_results.models import TaskResult

from celery_app import app
from harvest.results import ResultBackend
from tests.logged import entries

pytestmark = pytest.mark.django_db


@pytest.fixture
def backend() -> ResultBackend:
    return ResultBackend(app=app)


def test_result_is_kept(backend: ResultBackend) -> None:
    backend.store_result("id", "run 1: running", "SUCCESS")

    assert backend.get_task_meta("id")["result"] == "run 1: running"


def test_database_that_is_away_is_no_error(
    backend: ResultBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(TaskResult._default_manager, "store_result", refuse)
    monkeypatch.setattr(TaskResult._default_manager, "get_task", refuse)

    assert backend.store_result("id", 1, "SUCCESS") == 1
    assert backend.get_task_meta("id")["status"] == "PENDING"
    (entry,) = entries(caplog, "result_not_stored")
    assert (entry["task_id"], entry["status"]) == ("id", "SUCCESS")
    assert entry["error"] == "the database is away"
