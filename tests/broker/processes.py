"""Starts and ends the real processes, with the command lines of the Procfile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from avram.environment import ROOT
from tests.environment import TEMPORARY

#: Seconds that a test waits for what should happen within a few.
PATIENCE = 90.0


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition to be true; fail with what it was when it stays false."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain: {what}"
        time.sleep(0.1)


class Process:
    """A process with its log."""

    def __init__(self, command: list[str], log: Path, variables: dict[str, str]) -> None:
        self.log_file = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name(command[0])), *command[1:]],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": database_url(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str, patience: float = PATIENCE) -> None:
        wait_until(lambda: text in self.log or not self.is_alive, f"{text!r} in the log", patience)
        assert text in self.log, self.log

    def terminate(self) -> int:
        """End it as an operator would, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End it and its children with no chance to say a word."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Processes:
    """Starts processes and sees to it that none outlives the test."""

    def __init__(self, *, show_logs: bool = True) -> None:
        self._all: list[Process] = []
        self._show_logs = show_logs

    def close(self) -> None:
        for process in self._all:
            if process.is_alive:
                process.kill()
            if self._show_logs:  # pytest does, where the test failed
                print(f"--- {process.log_file.name}\n{process.log[-10_000:]}")

    def start(self, *command: str, **variables: str) -> Process:
        log = TEMPORARY / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
        process = Process(list(command), log, variables)
        self._all.append(process)
        return process

    def worker(self, name: str = "one", *, ready: bool = True, **variables: str) -> Process:
        """Start a worker; wait until it takes tasks."""
        process = self.start(
            "celery", "-A", "celery_app", "worker", "--concurrency=2", f"--hostname={name}@test",
            **variables,
        )  # fmt: skip
        if ready:
            process.wait_for("ready.")
        return process


def database_url() -> str:
    """Return the URL of the database that this test uses."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
