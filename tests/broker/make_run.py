"""A `make run` as a newcomer starts it, on ports and in a folder of its own."""

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
from tests.environment import free_port


class Run:
    """A `make run` on ports and in a folder of its own, with an environment as bare as can be."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        names = ("PORT", "FLOWER_PORT", "LOCAL_AWS_PORT", "MONITOR_PORT")
        self.ports = {name: free_port() for name in names}
        metrics = free_port()
        self.log = folder / "run.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "VAR_DIR": str(folder / "var"),
            **{name: str(port) for name, port in self.ports.items()},
            "METRICS_ADDRESS": f"127.0.0.1:{metrics}",
            **variables,
        }
        self.ports["METRICS"] = metrics

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
            print(self.log.read_text()[-10_000:])
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
