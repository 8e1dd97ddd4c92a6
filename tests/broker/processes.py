"""Starts and ends the real processes: what the lines of the Procfile start, without the sentence that
`python -m avram` makes of a wrong setting."""

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
                env={**os.environ, **variables},
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
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and return its exit code. Fail with what it is at when it does not end."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGUSR1)  # a worker of Celery's says where it is
            time.sleep(5)
            raise AssertionError(f"it did not end:\n{self.log}") from None

    @property
    def children(self) -> list[int]:
        """The pids of its children: of a worker, the processes of its pool. Once it is gone, none."""
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [int(child) for child in children.split()]

    def kill(self) -> None:
        """End it and its children with no chance to say a word."""
        self.signal_all(signal.SIGKILL)
        self._process.wait()

    def kill_alone(self) -> None:
        """End it, and leave its children to themselves."""
        self._process.kill()
        self._process.wait()

    def signal_all(self, number: int) -> bool:
        """Send a signal to it and its children. Return whether any of them is there; 0 only asks."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


class Processes:
    """Starts processes and sees to it that none outlives the test."""

    def __init__(self, *, show_logs: bool = True, **variables: str) -> None:
        self._variables = variables
        self._all: list[Process] = []
        self._show_logs = show_logs

    def close(self) -> None:
        for process in self._all:
            process.kill()
            if self._show_logs:  # pytest does, where the test failed
                print(f"--- {process.log_file.name}\n{process.log[-10_000:]}")

    @property
    def logs(self) -> str:
        return "".join(process.log for process in self._all)

    def start(self, *command: str, **variables: str) -> Process:
        log = TEMPORARY / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
        process = Process(list(command), log, {**self._variables, **variables})
        self._all.append(process)
        return process

    def worker(
        self, name: str = "one", *, host: str = "test", ready: bool = True, **variables: str
    ) -> Process:
        """Start a worker; wait until it takes tasks."""
        process = self._celery("worker", "--concurrency=2", f"--hostname={name}@{host}", **variables)
        if ready:
            process.wait_for("ready.")
        return process

    def beat(self, **variables: str) -> Process:
        return self._celery("beat", **variables)

    def _celery(self, *words: str, **variables: str) -> Process:
        return self.start("python", "-m", "avram.celeryprocess", *words, **variables)


def database_url() -> str:
    """Return the URL of the database that this test uses."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
