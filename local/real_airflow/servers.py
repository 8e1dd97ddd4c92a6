"""A real Airflow, from the executable of a virtual environment, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from local.servers import HOST, server
from tests.environment import free_port

USER, PASSWORD = "avram", "s3cr3t for tests"

#: Seconds that Airflow may take to listen, and to know its DAGs.
PATIENCE = 180


@dataclass(frozen=True, slots=True)
class RealAirflow:
    """One that is up."""

    version: str
    url: str
    kind: str

    def delete_run(self, dag_id: str, dag_run_id: str) -> None:
        """Delete a run, as staff may in Airflow."""
        path = {"airflow2": "/api/v1", "airflow3": "/api/v2"}[self.kind]
        headers, auth = {}, None
        if self.kind == "airflow2":
            auth = (USER, PASSWORD)
        else:
            credentials = {"username": USER, "password": PASSWORD}
            token = requests.post(f"{self.url}/auth/token", json=credentials, timeout=30).json()
            headers = {"Authorization": f"Bearer {token['access_token']}"}
        requests.delete(
            f"{self.url}{path}/dags/{dag_id}/dagRuns/{dag_run_id}",
            headers=headers,
            auth=auth,
            timeout=30,
        ).raise_for_status()


@contextmanager
def real_airflow(executable: Path, folder: Path) -> Iterator[RealAirflow]:
    """Run it, with the DAGs beside this file, until the block ends."""
    port = free_port()
    variables = {"AIRFLOW_HOME": str(folder), "PATH": f"{executable.parent}:{os.environ['PATH']}"}

    def run(*arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - what was named to us
            [executable, *arguments], env=_environment() | variables, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"airflow {arguments[0]} failed: {done.stderr[-2000:]}")
        return done.stdout

    version = run("version").strip().splitlines()[-1]
    two = version.startswith("2.")
    variables |= _settings(folder, port, two=two)
    run("db", "migrate")
    commands: dict[str, list[str]] = {"scheduler": ["--skip-serve-logs"]}
    if two:
        run("users", "create", *f"-u {USER} -r Admin -f A -l B -e a@b".split(), "-p", PASSWORD)
        commands["webserver"] = ["--hostname", HOST, "--port", str(port), "--workers", "1"]
    else:
        (folder / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        commands["dag-processor"] = []
        commands["api-server"] = ["--host", HOST, "--port", str(port), "--workers", "1"]
    with ExitStack() as stack:
        for name, arguments in commands.items():
            listens = port if name in ("webserver", "api-server") else None
            log = folder / f"{name}.log"
            command: list[str | Path] = [executable, name, *arguments]
            stack.enter_context(server(command, variables, listens, log, PATIENCE))
        airflow = RealAirflow(version, f"http://{HOST}:{port}", "airflow2" if two else "airflow3")
        yield airflow


def _environment() -> dict[str, str]:
    """Return ours, without what is meant for another Airflow, or for Python of another environment."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "DATABASE_URL", "VIRTUAL_ENV", "PYTHONPATH"))
    }


def _settings(folder: Path, port: int, *, two: bool) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if two else "LocalExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # Airflow 2
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        # Airflow 3, whose tokens end soon, so that they are renewed
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": "10",
        "AIRFLOW__API_AUTH__JWT_LEEWAY": "0",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this machine, for some minutes, for tests",
    }
