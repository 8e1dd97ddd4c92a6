"""Fixtures of all tiers."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.environment import TEMPORARY


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite's test database in a file, as workers of other processes need it."""
    database = settings.DATABASES["default"]
    if "sqlite3" in database["ENGINE"]:
        database["TEST"]["NAME"] = str(TEMPORARY / "test.sqlite3")
