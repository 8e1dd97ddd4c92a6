"""Who uses the processors: CPU seconds by process, as the operating system counts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import psutil

from bench.world import World
from tests.broker.processes import Process

QUEUES = "the local queue server"
MAIN = "the worker's main process"
CHILDREN = "its children"
POSTGRESQL = "PostgreSQL"


def seconds(world: World, workers: Sequence[Process] = ()) -> dict[str, float]:
    """Return the CPU seconds so far of queue server, PostgreSQL and these workers."""
    found: dict[str, float] = defaultdict(float)
    for worker in workers:
        main = psutil.Process(worker.pid)
        found[MAIN] += _used(main)
        found[CHILDREN] += sum(map(_used, main.children()))
    for process in psutil.Process().children():
        if any(word.endswith("/ministack") for word in process.cmdline()):
            found[QUEUES] += _used(process)
    with world.connect() as connection:
        session = psutil.Process(connection.info.backend_pid)
        server = session.parent() or session
        # A session that has ended counts with the process that began it.
        found[POSTGRESQL] += _used(server, ended=True) + sum(map(_used, server.children()))
    return found


def since(
    before: Mapping[str, float], world: World, workers: Sequence[Process] = ()
) -> dict[str, float]:
    """Return the CPU seconds since then; of workers that have started since, all."""
    return {who: used - before.get(who, 0.0) for who, used in seconds(world, workers).items()}


def _used(process: psutil.Process, *, ended: bool = False) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    used = times.user + times.system
    return float(used + times.children_user + times.children_system if ended else used)
