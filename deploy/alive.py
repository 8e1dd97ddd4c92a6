"""Whether the process of this container is alive: exit code 0 or 1, for a health check.

Process 1 says what it is. Web and Flower are alive when they answer; worker and beat, which listen
nowhere, when `manage.py alive` says so, by the files that they touch. None of this needs database or
queue: a container that is ended because those are away would be no help.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 5  # seconds

#: What listens: the variable with its port, that one's default, and a page that asks nobody else.
PAGES = {"avram.wsgi": ("PORT", "8000", "/healthz"), "flower": ("FLOWER_PORT", "5555", "/")}


def is_alive(process: Path) -> bool:
    """Look at a process, by its folder in /proc."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    if state in "ZXTt":
        return False
    for word, (variable, default, page) in PAGES.items():
        if word in words:
            return answers(int(os.environ.get(variable) or default), page)
    return any(touches(name) for name in ("worker", "beat") if name in words)


def touches(name: str) -> bool:
    """Ask whether worker or beat has touched its file of late."""
    command = [sys.executable, str(Path(__file__).parents[1] / "manage.py"), "alive", name]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603


def answers(port: int, page: str) -> bool:
    """Ask a server of this container for a page; an answer of any kind is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("HEAD", page)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_alive(Path("/proc/1")))
