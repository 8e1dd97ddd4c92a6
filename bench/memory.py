"""What a worker's processes hold after a long day: flat, and how much."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import chain, islice

import psutil

from bench.figures import Figure
from bench.traffic import interleaved
from bench.world import World
from harvest.provision import EVENTS
from tests.broker.processes import wait_until

EVENTS_SENT = 100_000
#: Waves as the drain has them: of more runs at a time each chain has an event or two, and it takes many
#: times as long.
WAVE, RUNS = 10_000, 100

#: Events that wait at the most: the local queue server slows down with its length.
BACKLOG = 3_000
PART = 1_000


WHY_MOST = (
    "memory: most of it are Python and libraries, larger in other versions and on other platforms. To\n"
    "load less would meet the goal: python -X importtime -m avram.celeryprocess worker --help."
)
WHY_GROWTH = (
    "memory: something is kept for each event. tracemalloc, in a worker with --pool solo, says what."
)


def run(world: World) -> list[Figure]:
    worker = world.worker()
    worker.wait_for("consumer_started")
    waves = range(EVENTS_SENT // WAVE)
    bodies = chain.from_iterable(interleaved(WAVE, RUNS, prefix=f"run-{wave}") for wave in waves)
    sent = 0
    held: dict[int, dict[str, float]] = defaultdict(dict)
    while part := list(islice(bodies, PART)):
        while world.wire.depths()[EVENTS] > BACKLOG:
            time.sleep(0.2)
        world.wire.send(part)
        sent += len(part)
        for name, size in _resident(worker.pid).items():
            held[sent][name] = size
        if sent % 10_000 == 0:
            sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in sorted(held[sent].items()))
            print(f"  {sent} events: {sizes}")
    with world.connect() as connection:

        def stored() -> bool:
            row = connection.execute("SELECT count(*) FROM harvest_harvestevent").fetchone()
            return row == (EVENTS_SENT,)

        wait_until(stored, "all events stored", patience=600)
    last = _resident(worker.pid)
    # From a fifth on, when caches and pools have been filled.
    early = held[EVENTS_SENT // 5]
    growth = max(last[name] / early[name] for name in last if name in early)
    most = max(max(sizes.values()) for sizes in held.values())
    return [
        Figure("memory: most of a process", most, "MB", at_most=150, why=WHY_MOST),
        Figure("memory: after 100,000 events, against 20,000", growth, "x", at_most=1.1, why=WHY_GROWTH),
    ]


def _resident(pid: int) -> dict[str, float]:
    """Return the resident megabytes of a worker's main process and of each child, by name."""
    main = psutil.Process(pid)
    processes = {"main": main} | {f"child {child.pid}": child for child in main.children()}
    return {name: process.memory_info().rss / 1e6 for name, process in processes.items()}
