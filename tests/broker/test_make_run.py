"""`make run` as a newcomer starts it: all of it comes up, shows runs, and ends without a trace."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from avram.environment import ROOT
from tests.broker.processes import wait_until
from tests.environment import free_port


class Run:
    """A `make run` on ports and in a folder of its own, with an environment as bare as can be."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        names = ("PORT", "FLOWER_PORT", "LOCAL_AWS_PORT", "MONITOR_PORT")
        self.ports = {name: free_port() for name in names}
        self.log = folder / "run.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "VAR_DIR": str(folder / "var"),
            **{name: str(port) for name, port in self.ports.items()},
            **variables,
        }

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        except AssertionError:
            print(self.log.read_text())
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    def manage(self, *arguments: str) -> str:
        """Run manage.py beside it, with no more than VAR_DIR to find its parts by."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={name: self.environment[name] for name in ("PATH", "HOME", "VAR_DIR")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def page(self, port: str, path: str, login: str = "") -> str:
        request = Request(f"http://127.0.0.1:{self.ports[port]}{path}")
        if login:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        try:
            with urlopen(request, timeout=5) as response:
                return str(response.read().decode())
        except (URLError, ConnectionError, TimeoutError):
            return ""

    def statuses(self) -> list[str]:
        file = self.folder / "var" / "avram.sqlite3"
        if not file.exists():
            return []
        try:
            with closing(sqlite3.connect(file)) as database:
                rows = database.execute("SELECT status FROM harvest_harvestrun")
                return [status for (status,) in rows]
        except sqlite3.OperationalError:  # no tables yet
            return []

    def listening(self) -> list[str]:
        found = []
        for name, port in self.ports.items():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    found.append(name)
        return found


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that were started with this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended, or is not ours
            continue
    return found


def test_make_run_shows_runs_and_ends_without_a_trace(tmp_path: Path) -> None:
    run = Run(tmp_path)

    with run.started() as process:
        wait_until(lambda: "username" in run.page("PORT", "/admin/login/"), "the admin's login")
        wait_until(lambda: run.statuses(), "the demo's first run")
        wait_until(lambda: "Flower" in run.page("FLOWER_PORT", "/", "admin:admin"), "Flower")
        assert "Flower" not in run.page("FLOWER_PORT", "/")  # without the login
        assert "All is there already" in run.manage("setup_queues")
        assert "unapplied" not in run.manage("migrate", "--check")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    output = run.log.read_text()
    assert f"http://127.0.0.1:{run.ports['PORT']}/admin/" in output
    running, interrupted, ending = output.partition("SIGINT received")
    assert interrupted
    assert "Traceback" not in running
    assert "Inspect method" not in running  # Flower asks before a worker can answer
    # Ctrl-C reaches the worker's children, too: one that was at work tells so, and its task comes again.
    assert "Traceback" not in ending or "Worker exited prematurely: signal 15 (SIGTERM)" in ending
    assert run.listening() == []
    assert processes_of(tmp_path) == []

    with Run(tmp_path, DEMO="0").started() as process:  # again, on what is there
        again = len(run.statuses())
        wait_until(lambda: "ready." in run.log.read_text(), "the worker")
        assert len(run.statuses()) == again


def test_make_run_on_a_taken_port_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", run.ports["FLOWER_PORT"]))
        other.listen()
        with run.started() as process:
            assert process.wait(60) == 1

    port = run.ports["FLOWER_PORT"]
    assert run.log.read_text() == (
        f"Port {port} is taken. Choose another: make run FLOWER_PORT={port + 1000}\n"
    )


def test_make_run_with_a_bad_port_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path, PORT="http")

    with run.started() as process:
        assert process.wait(60) == 1

    assert run.log.read_text() == "PORT is 'http', not a port between 1 and 65535.\n"
