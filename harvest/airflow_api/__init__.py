"""Asking Airflow: its REST API, by three ways in behind one interface.

``configure`` says once, when the process starts, which hosts may be asked; ``client_of`` is what the
rest of the app uses. No other host is ever asked, whatever an event says.
"""

from __future__ import annotations

from collections.abc import Mapping

from harvest.airflow_api.answers import AirflowRun, TaskInstance
from harvest.airflow_api.client import Client
from harvest.airflow_api.errors import AirflowError, AlreadyExists, NotFound, Refused, Unavailable
from harvest.airflow_api.hosts import Host, Kind
from harvest.airflow_api.http import HttpApi
from harvest.airflow_api.mwaa import MwaaApi

__all__ = [
    "AirflowError",
    "AirflowRun",
    "AlreadyExists",
    "Client",
    "Host",
    "Kind",
    "NotFound",
    "Refused",
    "TaskInstance",
    "Unavailable",
    "client_of",
    "configure",
    "hosts",
    "version_of",
]

_clients: dict[str, Client] = {}


def configure(known: Mapping[str, Host]) -> None:
    """Let these hosts be asked, and no others. Each process keeps one client for each."""
    _clients.clear()
    for address, host in known.items():
        _clients[address] = Client(host, MwaaApi(host) if host.kind == Kind.MWAA else HttpApi(host))


def client_of(host: str) -> Client | None:
    """Return the client of an address as in ``HarvestRun.host``, or None where it is not configured."""
    return _clients.get(host)


def version_of(host: str) -> int:
    """Return Airflow's version at an address, 2 or 3: 2 where it is not configured."""
    client = _clients.get(host)
    return client.host.version if client else 2


def hosts() -> list[str]:
    """Return the configured addresses."""
    return list(_clients)
