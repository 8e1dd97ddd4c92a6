"""What a monitoring broker that is away costs: publication to status, with Valkey up, silent and killed.

One worker does all of it, in turns: Valkey is stopped, which leaves its connections open and silent,
then killed, then started again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from statistics import median

from bench.figures import Figure
from bench.latency import path
from bench.world import World
from local.servers import monitoring_broker
from tests.broker.flower import ping
from tests.broker.processes import wait_until
from tests.environment import free_port

ROUNDS = 5
SAMPLES = 30

#: Seconds over the slowest with Valkey up: what is slower than that is slower by more than a moment.
A_MOMENT = 1.0


WHY = (
    "monitor: a task waited for the monitoring broker, or the machine had other work meanwhile. If a\n"
    "quiet machine doesn't meet the goal either, the worker's log says what was slow."
)


def run(world: World) -> list[Figure]:
    port, log = free_port(), world.folder / "bench-monitor.log"
    url = f"redis://127.0.0.1:{port}/0"
    world.worker(MONITOR_BROKER_URL=url)
    path(world, "the first")  # for which a new child connects to the database
    up: list[float] = []
    silent: list[float] = []
    killed: list[float] = []
    for number in range(1, ROUNDS + 1):
        with monitoring_broker(port, log) as broker:
            wait_until(lambda: ping(url), "the worker's answer, by the broker that is back")
            up += _sample(world, f"up {number}")
            os.killpg(broker.pid, signal.SIGSTOP)
            silent += _sample(world, f"silent {number}")
            os.killpg(broker.pid, signal.SIGKILL)
        killed += _sample(world, f"killed {number}")
        medians = (f"{median(seconds) * 1000:.0f} ms" for seconds in (up, silent, killed))
        print("  round {}: up {}, silent {}, killed {}".format(number, *medians), flush=True)
    return [
        Figure("monitor: median from publication to status, Valkey up", median(up) * 1000, "ms"),
        Figure("monitor: slowest, Valkey up", max(up) * 1000, "ms"),
        *_against("silent", silent, up),
        *_against("killed", killed, up),
    ]


def _sample(world: World, name: str) -> list[float]:
    return [path(world, f"{name} {sample}") for sample in range(SAMPLES)]


def _against(name: str, seconds: Sequence[float], up: Sequence[float]) -> list[Figure]:
    slower = sum(value > max(up) + A_MOMENT for value in seconds)
    return [
        Figure(
            f"monitor: median, Valkey {name}",
            median(seconds) / median(up),
            "x",
            at_most=1.25,
            why=WHY,
        ),
        Figure(f"monitor: slowest, Valkey {name}", max(seconds) / max(up), "x"),
        Figure(f"monitor: slower by more than a moment, Valkey {name}", slower, at_most=0, why=WHY),
    ]
