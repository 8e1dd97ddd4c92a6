"""What systemd is told, at a socket such as its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from harvest import heartbeats, watchdog
from harvest.heartbeats import Heartbeats, Part, Pulse


@pytest.fixture(params=["a file", "a name"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Where systemd would listen."""
    name = str(tmp_path / "notify") if request.param == "a file" else f"@avram-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield listener


def said(listener: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(listener.recv(100))
    except BlockingIOError:
        return found


def test_systemd_is_told(systemd: socket.socket) -> None:
    watchdog.notify()

    assert said(systemd) == [b"WATCHDOG=1"]


def test_child_of_the_watched_process_says_nothing(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", "1")

    watchdog.notify()

    assert said(systemd) == []


def test_nobody_who_listens_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    watchdog.notify()

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    watchdog.notify()


def test_worker_tells_while_loop_and_consumer_are_alive(
    systemd: socket.socket, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RUNTIME_DIR = str(tmp_path)
    monkeypatch.setattr(heartbeats.Reporter, "start", lambda reporter: None)
    turns: list[Any] = []
    timer = SimpleNamespace(
        call_repeatedly=lambda seconds, turn, arguments: turns.append(lambda: turn(*arguments))
    )
    worker = SimpleNamespace(hostname="one@test", timer=timer)
    Heartbeats(worker).start(worker)
    (turn,) = turns
    worker.pulses.append(consumer := Pulse(Part.CONSUMER, "one@test"))

    turn()
    assert said(systemd) == [b"WATCHDOG=1"]

    consumer._at -= 241
    turn()
    assert said(systemd) == []

    consumer.beat()
    turn()
    assert said(systemd) == [b"WATCHDOG=1"]
