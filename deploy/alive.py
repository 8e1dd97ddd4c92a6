"""Whether the process of this container is alive: exit code 0 or 1, for a health check.

The process is found in /proc: it need not be number 1, which may be an init, or belong to another
container of the same pod. Web and Flower are alive when they answer; worker and beat, which listen
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
PAGES = {"web": ("PORT", "8000", "/healthz"), "flower": ("FLOWER_PORT", "5555", "/")}


def is_alive(proc: Path) -> bool:
    """Look at the first process of ours in a folder such as /proc, which is the parent of the rest."""
    for process in sorted((one for one in proc.iterdir() if one.name.isdigit()), key=_number):
        name = name_of(process)
        if name and _files_of(process) == _files_of(proc / "self"):
            return is_going(process) and (answers(*page(name)) if name in PAGES else touches(name))
    return False


def name_of(process: Path) -> str | None:
    """Return which of the four a process is, or None: it is something else."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended, or is another user's
        return None
    if "avram.wsgi" in words:
        return "web"
    if {"celery", "avram.celeryprocess"}.isdisjoint(words):  # `manage.py alive worker` is none
        return None
    return next((name for name in ("worker", "beat", "flower") if name in words), None)


def is_going(process: Path) -> bool:
    """Return whether a process is neither stopped nor a zombie."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZXTt"
    except OSError:
        return False


def _number(process: Path) -> int:
    return int(process.name)


def _files_of(process: Path) -> Path | None:
    """Return what tells whose files a process sees: those of one container see the same."""
    try:
        return (process / "ns" / "mnt").readlink()
    except OSError:  # of another user, or where there is no such thing
        return None


def touches(name: str) -> bool:
    """Ask whether worker or beat has touched its file of late."""
    command = [sys.executable, str(Path(__file__).parents[1] / "manage.py"), "alive", name]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603


def page(name: str) -> tuple[int, str]:
    """Return where web or Flower answers: the port, and a page."""
    variable, default, path = PAGES[name]
    return int(os.environ.get(variable) or default), path


def answers(port: int, path: str) -> bool:
    """Ask a server of this container for a page; an answer of any kind is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("HEAD", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_alive(Path("/proc")))
