"""Fixtures of all tiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from tests.environment import TEMPORARY
from tests.sns_server import SnsServer


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite's test database in a file, as workers of other processes need it."""
    database = settings.DATABASES["default"]
    if "sqlite3" in database["ENGINE"]:
        database["TEST"]["NAME"] = str(TEMPORARY / "test.sqlite3")


@pytest.fixture
def sns_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SnsServer]:
    """SNS's host, which this process finds as it would find the real one."""
    with closing(SnsServer(tmp_path)) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server
