"""systemd's watchdog: a unit with WatchdogSec is ended, and started again, when it falls silent.

Where nobody listens, as in a container, it does nothing.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify() -> None:
    """Tell systemd that this process is alive. Waits for nothing, raises nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    # Children inherit the variables, and are not the ones that are watched.
    if not address or os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return
    if address.startswith("@"):  # a name of Linux's own, which is no file
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        # One that is lost makes no difference; if all are, systemd does what is right.
        with suppress(OSError):
            sender.sendto(b"WATCHDOG=1", address)
