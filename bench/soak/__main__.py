"""Runs it, and prints what was found beside the goals: `python -m bench.soak --minutes 60`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.figures import Figure, save, table
from bench.soak import logs, memory, scraped
from bench.soak.memory import Memory
from bench.soak.visitor import Visitor
from local.demo import OVER
from tests.broker.make_run import Run
from tests.broker.processes import wait_until

FOLDER = Path("var/soak")
RESULTS = Path("var/soak.json")

#: Seconds between samples; and, once the demo is over, that may pass until the last event is told, and
#: until tables and metrics agree.
PERIOD = 5.0
SETTLING = 120.0
AGREEING = 30.0


def main(arguments: list[str]) -> int:
    """Return 0, or 1 where a goal is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--speed", type=float, default=10)
    options = parser.parse_args(arguments)

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    run = Run(
        FOLDER.resolve(),
        DEMO_FOR=f"{options.minutes * 60:.0f}s",
        DEMO_SPEED=f"{options.speed:g}",
        LOG_FORMAT="json",
    )
    with run.started() as process:
        found = [*_soak(run, process, options.minutes), *_ended(run, process)]
    save(found, RESULTS)
    print(f"\n{table(found)}\n\nAll figures with their goals: {RESULTS}; the logs: {FOLDER}")
    return int(any(figure.met is False for figure in found))


def _soak(run: Run, process: subprocess.Popen[bytes], minutes: float) -> list[Figure]:
    """Watch until the demo is over and all is told, and return what was seen meanwhile."""
    wait_until(lambda: run.statuses(), "the demo's first run")
    wait_until(lambda: "Flower" in run.page("FLOWER_PORT", "/", "admin:admin"), "Flower")
    # The first consumer is heard of after a third of HEARTBEAT_STALE_AFTER.
    wait_until(lambda: '"ready": true' in run.page("PORT", "/readyz"), "/readyz")
    _set_up_django(run)
    from bench.soak import tables

    measured = Memory(process.pid)
    metrics = [f"http://127.0.0.1:{run.ports[name]}/metrics" for name in ("PORT", "METRICS")]
    visitor = Visitor(run.ports["PORT"], run.ports["FLOWER_PORT"], metrics)
    visitor.start()
    started, told = time.monotonic(), 0.0
    while (published := _published(run)) is None:
        assert process.poll() is None, "make run has ended by itself"
        assert time.monotonic() - started < minutes * 60 + SETTLING, "the demo does not end"
        sizes = measured.sample()
        if time.monotonic() - started >= told + 60:
            told += 60
            print(_progress(run, told, sizes, tables.counts()), flush=True)
        time.sleep(PERIOD)
    settled = _comes_true(tables.is_settled, SETTLING)
    visitor.end()
    # More than once: beat goes on, and what web reads is kept for some seconds.
    _comes_true(lambda: not _differences(metrics), AGREEING)
    different = _differences(metrics)
    print("\n".join(different))
    for line, times in visitor.refused.items():
        print(f"{times} x {line}")
    for line in (*tables.wrong_statuses(), *tables.unnoticed()):
        print(line)
    return [
        *memory.figures(measured.samples),
        Figure("memory: processes that came in place of another", measured.replaced, at_most=0),
        Figure("tables: whether all was told in the end", settled, at_least=1),
        *tables.figures(published),
        Figure("metrics: values that the tables hold as well", len(scraped.held())),
        Figure("metrics: values that are not what they hold", len(different), at_most=0),
        Figure("pages: visits", visitor.visits, at_least=1),
        Figure("pages: visits that were not answered well", visitor.refused.total(), at_most=0),
    ]


def _differences(metrics: Sequence[str]) -> list[str]:
    return scraped.differences(scraped.scrape(metrics), scraped.held())


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait so long for a condition at the most. Return whether it is met: an hour is not thrown away."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(2)
    return met


def _ended(run: Run, process: subprocess.Popen[bytes]) -> list[Figure]:
    """End it as Ctrl-C does, and return what the logs say."""
    # What the servers say when they are ended is theirs.
    lines = [
        line
        for log in (run.folder / "var").glob("*.log")
        for line in log.read_text(errors="replace").splitlines()
    ]
    process.send_signal(signal.SIGINT)
    code = process.wait(60)
    lines += run.log.read_text(errors="replace").splitlines()
    wrong, warned = logs.errors(lines), logs.warnings(lines)
    print("\n".join(["", *wrong[:20], *(f"{times} x {line[:200]}" for line, times in warned.items())]))
    return [
        Figure("logs: lines", len(lines)),
        Figure("logs: lines of warnings", warned.total()),
        Figure("logs: lines of errors", len(wrong), at_most=0),
        Figure("logs: exit code of make run", code, at_most=0),
    ]


def _set_up_django(run: Run) -> None:
    """Read from here what `make run` writes: its tables and queues, by what it left for manage.py."""
    for line in (run.folder / "var" / "local.env").read_text().splitlines():
        name, _, value = line.partition("=")
        os.environ[name] = value
    os.environ["DJANGO_SETTINGS_MODULE"] = "avram.settings"
    import django

    django.setup()


def _published(run: Run) -> Mapping[str, int] | None:
    """Return the demo's counts, or None while it goes on."""
    _, over, rest = run.log.read_text(errors="replace").partition(OVER)
    return json.loads(rest.partition("\n")[0]) if over and "\n" in rest else None


def _progress(run: Run, seconds: float, sizes: Mapping[str, float], counts: Mapping[str, int]) -> str:
    wrong = len(logs.errors(run.log.read_text(errors="replace").splitlines()))
    held = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
    return (
        f"{seconds / 60:3.0f} min: {counts['events']:,} events of {counts['runs']:,} runs, "
        f"{wrong} errors in the log; MB: {held}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
