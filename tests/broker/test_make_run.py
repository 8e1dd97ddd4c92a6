"""`make run` as a newcomer starts it: all of it comes up, shows runs, and ends without a trace."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.broker.make_run import Run
from tests.broker.processes import wait_until


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


@pytest.mark.timeout(240)  # it starts all of it, twice
def test_make_run_shows_runs_and_ends_without_a_trace(tmp_path: Path) -> None:
    run = Run(tmp_path)

    with run.started() as process:
        wait_until(lambda: "username" in run.page("PORT", "/admin/login/"), "the admin's login")
        wait_until(lambda: run.statuses(), "the demo's first run")
        wait_until(lambda: "Flower" in run.page("FLOWER_PORT", "/", "admin:admin"), "Flower")
        assert "Flower" not in run.page("FLOWER_PORT", "/")  # without the login
        recorded = re.compile(r"^avram_events_recorded_total [1-9]", re.MULTILINE)
        wait_until(lambda: recorded.search(run.page("METRICS", "/metrics")), "the worker's metrics")
        assert "\navram_database_up 1.0\n" in run.page("PORT", "/metrics")
        assert "All is there already" in run.manage("setup_queues")
        assert "unapplied" not in run.manage("migrate", "--check")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    output = run.log.read_text()
    assert f"http://127.0.0.1:{run.ports['PORT']}/admin/" in output
    running, interrupted, _ending = output.partition("SIGINT received")
    assert interrupted
    assert "Traceback" not in output
    assert "Inspect method" not in running  # Flower asks before a worker can answer
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
