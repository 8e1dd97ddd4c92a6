"""Runs benchmarks and prints their figures beside the goals."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from pathlib import Path

os.environ |= {"TEST_ENGINE": "postgresql", "DJANGO_SETTINGS_MODULE": "avram.settings"}

import tests.environment  # sets the environment that Django reads next

NAMES = ("drain", "costs", "latency", "idle", "memory", "monitor", "pages", "sweep")
RESULTS = Path("var/bench.json")


def main(names: list[str]) -> int:
    """Return 0, or 1 where a goal is not met."""
    import django

    django.setup()
    logging.getLogger().setLevel(logging.WARNING)  # of this process: workers say when they have started
    from bench.figures import save, table
    from bench.world import world

    if unknown := set(names) - set(NAMES):
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
        return 2
    figures = []
    try:
        for name in names or NAMES:
            print(f"{name} …", flush=True)
            with world() as here:
                found = import_module(f"bench.{name}").run(here)
            save(found, RESULTS)
            figures += found
    finally:
        tests.environment.pytest_unconfigure()
    print(f"\n{table(figures)}\n\nAll figures with their goals: {RESULTS}")
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
