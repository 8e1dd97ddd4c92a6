"""How collecting holds up under load: a model of the pipeline's queues, with costs as measured.

`python -m bench.simulation` prints the table of docs/scaling.md. One worker is one receiver and two
processes that record; a run's chains exclude each other, as its row's lock has it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from statistics import mean, quantiles

#: Seconds: of a child by `make bench BENCH=drain`, and of each event more by `make bench BENCH=costs`.
A_CHAIN = 0.032
AN_EVENT = 0.0003
#: Seconds for a receive of ten from SQS itself, which answers more slowly than a local queue server.
A_RECEIVE = 0.015

#: Seconds between looks of a receiver whose worker is busy (harvest/consumer.py).
A_PAUSE = 0.2

#: Of the consumer, as it has them; and of a chain, by its bytes: messages as `bench/traffic.py` makes
#: them have some 1.9 KB.
MOST_COLLECTED = 5_000
MOST_SECONDS = 5.0
MOST_IN_CHAIN = 140
PROCESSES = 2
SECONDS = 300.0


@dataclass
class World:
    """What waits: messages by (arrival, run), and chains by (run, arrivals)."""

    messages: deque[tuple[float, int]]
    busy_from: int
    chains: deque[tuple[int, list[float]]] = field(default_factory=deque)
    locked_until: dict[int, float] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    busy: float = 0.0


def simulate(
    events_a_second: float, runs: int, workers: int, *, heed_busy: bool = True, seed: int = 1
) -> World:
    """Play some minutes of events that arrive at random, each of any run. Return what became of them."""
    rng = random.Random(seed)
    now, arrivals = 0.0, []
    while (now := now + rng.expovariate(events_a_second)) < SECONDS:
        arrivals.append((now, rng.randrange(runs)))
    # Chains that wait, and keep the receivers collecting.
    world = World(deque(arrivals), busy_from=workers * PROCESSES if heed_busy else 10**9)
    agenda = [(0.0, index, "receive") for index in range(workers)]
    agenda += [(0.0, index, "record") for index in range(workers, workers * (1 + PROCESSES))]
    heapq.heapify(agenda)
    while agenda:
        now, index, what = heapq.heappop(agenda)
        if now > SECONDS:
            continue
        free_at = _receive(world, now) if what == "receive" else _record(world, now)
        heapq.heappush(agenda, (free_at, index, what))
    return world


def _receive(world: World, now: float) -> float:
    """Collect what has arrived, into one chain a run. Return when the receiver is free again."""
    by_run: dict[int, list[float]] = {}
    taken, started = 0, now
    while taken < MOST_COLLECTED and now - started < MOST_SECONDS:
        now += A_RECEIVE
        ten = 0
        while ten < 10 and world.messages and world.messages[0][0] <= now:
            arrived, run = world.messages.popleft()
            by_run.setdefault(run, []).append(arrived)
            ten += 1
        taken += ten
        if ten < 10:
            if len(world.chains) < world.busy_from:
                break
            now += A_PAUSE
    for run, arrived_at in by_run.items():
        for start in range(0, len(arrived_at), MOST_IN_CHAIN):
            world.chains.append((run, arrived_at[start : start + MOST_IN_CHAIN]))
    return now


def _record(world: World, now: float) -> float:
    """Do the next chain. Return when the process is free again."""
    if not world.chains:
        return now + 0.005
    run, arrived_at = world.chains.popleft()
    begins = max(now, world.locked_until.get(run, 0.0))
    ends = begins + A_CHAIN + AN_EVENT * len(arrived_at)
    world.locked_until[run] = ends
    world.busy += ends - now
    world.sizes.append(len(arrived_at))
    world.waited += [ends - moment for moment in arrived_at]
    return ends


def main() -> None:
    print(
        "events/s   runs  workers  collects while busy  events/chain    busy   95 % within  left behind"
    )
    for load, runs in ((2, 20), (20, 50), (200, 200), (2_000, 1_000)):
        for workers in (1, 4, 16):
            for heed_busy in (False, True):
                world = simulate(load, runs, workers, heed_busy=heed_busy)
                busy = world.busy / (SECONDS * workers * PROCESSES)
                within = quantiles(world.waited, n=20)[-1]
                left = len(world.messages) + sum(len(arrived_at) for _, arrived_at in world.chains)
                print(
                    f"{load:>8} {runs:>6} {workers:>8} {'yes' if heed_busy else 'no':>20} "
                    f"{mean(world.sizes):>13.1f} {busy:>7.0%} {within:>11.2f} s "
                    f"{left:>12,}"
                )


if __name__ == "__main__":
    main()
