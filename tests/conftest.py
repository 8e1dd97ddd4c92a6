"""Fixtures of all tiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from harvest import airflow_api
from local.servers import local_aws
from tests.airflow_server import PASSWORD, PASSWORD_ENV, AirflowServer
from tests.environment import LOCAL_AWS_PORT, TEMPORARY
from tests.sns_server import SnsServer


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


@pytest.fixture
def sns_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SnsServer]:
    """SNS's host, which this process finds as it would find the real one."""
    with closing(SnsServer(tmp_path)) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def airflow_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowServer]:
    """A stand-in for Airflow, which this process may ask as soon as it is configured."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    with closing(AirflowServer()) as server:
        yield server
    airflow_api.configure({})
