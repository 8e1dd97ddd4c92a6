"""`manage.py alive worker|beat`: whether they are alive on this machine, for containers and systemd."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from django.core.management import BaseCommand, CommandError

from harvest.heartbeats import LIVE_SECONDS, Part, runtime_folder

#: What a process consists of. A consumer is there only where the worker has one.
PARTS = {"worker": (Part.WORKER, Part.CONSUMER), "beat": (Part.BEAT,)}


class Command(BaseCommand):
    help = (
        "Fails if a worker or beat of this machine hangs, or if none runs. Looks at the files that they "
        "touch in RUNTIME_DIR, and at no network or database."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("process", choices=sorted(PARTS))
        parser.add_argument("--name", help="only the one of this name, such as celery@host")
        parser.add_argument("--within", type=float, help="seconds of silence that are allowed")

    def handle(
        self, *args: Any, process: str, name: str | None, within: float | None, **options: Any
    ) -> None:
        main, *_ = PARTS[process]
        ages = {part: _ages(part, name) for part in PARTS[process]}
        if not ages[main]:
            raise CommandError(
                f"no {process} runs here, by the files in RUNTIME_DIR, {runtime_folder()}"
            )
        for part, files in ages.items():
            for host, age in files.items():
                if age > (within or LIVE_SECONDS[part]):
                    raise CommandError(f"the {part} of {host} has been silent for {age:.0f} s")
        self.stdout.write(f"alive: {process} of {', '.join(sorted(ages[main]))}")


def _ages(part: Part, name: str | None) -> dict[str, float]:
    """Return how many seconds ago each process that is still there touched its file, by its name.

    Raises:
        CommandError: the files are not for who asks.
    """
    try:
        return _read_ages(part, name, [*runtime_folder().iterdir()])
    except FileNotFoundError:  # nothing ran here yet
        return {}
    except PermissionError as error:
        raise CommandError(
            f"{error.filename} may not be read: ask as the processes' user, or as root"
        ) from error


def _read_ages(part: Part, name: str | None, files: Iterable[Path]) -> dict[str, float]:
    ages = {}
    for file in files:
        if not file.name.startswith(f"{part}-"):
            continue
        host = unquote(file.name.removeprefix(f"{part}-"))
        try:
            age = max(0.0, time.time() - file.stat().st_mtime)
            gone = not Path(f"/proc/{int(file.read_text())}").exists()
        except PermissionError:
            raise
        except (OSError, ValueError):  # it ends, or begins, at this moment
            continue
        if not gone and name in (None, host):
            ages[host] = age
    return ages
