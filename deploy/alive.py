"""Whether the process of this container is alive: exit code 0 or 1, for a health check.

Process 1 says what it is. Web and Flower are alive when they answer; worker and beat, which listen
nowhere, when their process is the one that was started and is not stopped or dead. It needs neither
database nor queue: a container that is ended because those are away would be no help.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

PATIENCE = 5  # seconds

#: The variable with the port of what listens, and its default.
PORTS = {"avram.wsgi": ("PORT", "8000"), "flower": ("FLOWER_PORT", "5555")}


def is_alive(process: Path) -> bool:
    """Look at a process, by its folder in /proc."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    if state in "ZXTt":
        return False
    for word, (variable, default) in PORTS.items():
        if word in words:
            return answers(int(os.environ.get(variable) or default))
    return "celery_app" in words


def answers(port: int) -> bool:
    """Ask a server of this container for anything; an answer of any kind is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_alive(Path("/proc/1")))
