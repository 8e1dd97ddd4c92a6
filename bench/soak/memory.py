"""What each process holds, again and again, and whether that grows.

It is what is resident, with what it shares with its parent. What it has for itself alone would rise by
itself: the garbage collector touches, and so copies, what a fork left in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import psutil

from bench.figures import Figure

#: What is in a command line, in this order, and what the process is called here.
ROLES = {
    "gunicorn": "web",
    "celery_app:monitor": "flower",
    " beat": "beat",
    " worker": "worker",
    "local.demo": "demo",
    "ministack": "local AWS",
    "valkey": "monitoring broker",
}
#: Not ours, and not there in production: their memory is for information. The local AWS keeps a record
#: of what it did.
OTHERS = ("local AWS",)

#: Of the last third's median for the middle third's. The first is for caches and pools to fill.
MOST_GROWTH = 1.05


@dataclass
class Memory:
    """Samples of all processes below one."""

    pid: int
    #: Megabytes by the process's name, in order of time.
    samples: list[dict[str, float]] = field(default_factory=list)
    _pids: set[int] = field(default_factory=set)
    _late: set[int] = field(default_factory=set)

    def sample(self) -> dict[str, float]:
        """Take a sample, keep it and return it."""
        sizes: dict[str, float] = {}
        found = psutil.Process(self.pid).children(recursive=True)
        seen = set()
        for process in sorted(found, key=lambda process: (process.create_time(), process.pid)):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if role := role_of(" ".join(process.cmdline())):
                    sizes[numbered(role, sizes)] = process.memory_info().rss / 1e6
                    seen.add(process.pid)
        if self.samples:
            self._late |= seen - self._pids
        self._pids |= seen
        self.samples.append(sizes)
        return sizes

    @property
    def replaced(self) -> int:
        """How many processes came later than the first sample, in place of one that had ended."""
        return len(self._late)


def role_of(command: str) -> str:
    """Return what a process is called by its command line; nothing for one that is no part of it."""
    return next((role for sign, role in ROLES.items() if sign in command), "")


def numbered(role: str, taken: dict[str, float]) -> str:
    """Return the role, or with several processes of it the next that is free: ``web``, ``web 2``."""
    number = sum(name.rstrip(" 0123456789") == role for name in taken) + 1
    return role if number == 1 else f"{role} {number}"


def figures(samples: Sequence[dict[str, float]]) -> list[Figure]:
    """Return for each process what it held at 10 %, 50 % and 100 % of the time, and its growth.

    Only of those that are in every sample; there must be three at least.
    """
    names = sorted(set.intersection(*(set(sample) for sample in samples)))
    return [figure for name in names for figure in _of(name, [sample[name] for sample in samples])]


def _of(name: str, sizes: Sequence[float]) -> list[Figure]:
    last = len(sizes) - 1
    third = len(sizes) // 3
    growth = median(sizes[-third:]) / median(sizes[third:-third])
    return [
        *(
            Figure(f"memory: {name}, at {percent} %", sizes[last * percent // 100], "MB")
            for percent in (10, 50, 100)
        ),
        Figure(
            f"memory: {name}, last third against the middle one",
            growth,
            "x",
            at_most=None if name in OTHERS else MOST_GROWTH,
        ),
    ]
