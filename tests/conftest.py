"""Fixtures of all tiers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from local.servers import local_aws
from tests.environment import LOCAL_AWS_PORT, TEMPORARY


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite's test database in a file, as workers of other processes need it."""
    database = settings.DATABASES["default"]
    if "sqlite3" in database["ENGINE"]:
        database["TEST"]["NAME"] = str(TEMPORARY / "test.sqlite3")


@pytest.fixture(scope="session")
def aws() -> Iterator[None]:
    """The local AWS, at the address that the environment names."""
    with local_aws(LOCAL_AWS_PORT, TEMPORARY / "aws.log"):
        yield
