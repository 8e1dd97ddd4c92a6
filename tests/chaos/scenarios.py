"""The scenarios, and how one is played."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

from tests.chaos import faults
from tests.chaos.counter import Count, count, depths, expect
from tests.chaos.faults import Fault
from tests.chaos.world import World

#: How often something goes wrong: for so many events once, but at most so often.
EVENTS_A_MOMENT = 500
MOST_MOMENTS = 12
#: How many faults of different groups come together.
AT_ONCE = 3

#: Seconds until a scenario has failed: a few, and more for more events.
PATIENCE = 75
EVENTS_A_SECOND = 25


@dataclass(frozen=True)
class Scenario:
    """What goes wrong while events come in, in groups of which one fault at a time is chosen."""

    name: str
    engine: str
    groups: tuple[tuple[Fault, ...], ...]
    #: What the log of a worker, of beat or of the database says when a fault has come through to it.
    evidence: str = ""
    #: Seconds between breaking and mending.
    lasts: tuple[float, float] = (0.5, 2.5)
    #: Seconds until what a dead worker held comes back. Where none is killed it is longer than the
    #: wait of a retry, as in production.
    visibility_timeout: int = 5
    beat: bool = False

    def moments(self, n_bodies: int) -> int:
        """Return how often something goes wrong: enough for each fault of a group."""
        return max(*map(len, self.groups), 2, min(MOST_MOMENTS, n_bodies // EVENTS_A_MOMENT))

    def draw(self, rng: random.Random) -> Iterator[list[Fault]]:
        """Yield what goes wrong at each moment."""
        decks = [cycle(rng.sample(group, len(group))) for group in self.groups]
        while True:
            yield [next(deck) for deck in rng.sample(decks, min(AT_ONCE, len(decks)))]


SCENARIOS = (
    Scenario(
        "processes killed", "sqlite", (faults.PROCESSES,), evidence="WorkerLostError", beat=True
    ),
    Scenario(
        "PostgreSQL restarted",
        "postgresql",
        (faults.RESTARTS,),
        evidence="terminating connection",
        visibility_timeout=60,
    ),
    Scenario(
        "connections cut",
        "postgresql",
        (faults.CONNECTIONS,),
        evidence="due to administrator command",
        visibility_timeout=60,
    ),
    Scenario(
        "deadlocks",
        "postgresql",
        ((faults.deadlock,),),
        evidence="deadlock detected",
        lasts=(0, 0),
        visibility_timeout=60,
    ),
    Scenario("SQS throttles", "sqlite", ((faults.throttled,),), evidence="when calling the"),
    Scenario("SQS resets", "sqlite", ((faults.reset,),), evidence="Connection was closed"),
    Scenario("SQS is slow", "sqlite", ((faults.slow,),)),
    Scenario("SQS answers 500", "sqlite", ((faults.failing,),), evidence="InternalError"),
    Scenario("SQS delivers twice", "postgresql", ((faults.delivered_twice,),)),
    Scenario(
        "disk full", "sqlite", ((faults.disk_full,),), evidence="disk is full", visibility_timeout=60
    ),
    Scenario("clock jumps", "postgresql", ((faults.clock_jumped,),), beat=True),
    Scenario("monitor gone", "sqlite", (faults.MONITOR,), evidence="the monitor is away"),
    Scenario(
        "all at once",
        "postgresql",
        (
            faults.PROCESSES,
            (*faults.RESTARTS, *faults.CONNECTIONS, faults.deadlock),
            faults.QUEUES,
            (faults.clock_jumped,),
            faults.MONITOR,
        ),
        visibility_timeout=20,
        beat=True,
    ),
)


@dataclass(frozen=True)
class Outcome:
    """A line of the table."""

    name: str
    injected: int
    count: Count
    depths: dict[str, int]
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.count.is_right and not any(self.depths.values())


class Play:
    """One scenario while it is played."""

    def __init__(
        self, scenario: Scenario, world: World, bodies: list[str], hostile: Collection[str]
    ) -> None:
        self.scenario = scenario
        self.world = world
        self.bodies = bodies
        self.expected = expect(bodies, hostile)
        self.injected = 0
        self._sent = 0
        self._started = time.monotonic()
        self._deadline = self._started + PATIENCE + len(bodies) / EVENTS_A_SECOND

    def run(self) -> Outcome:
        """Send the bodies while things go wrong; then wait until all is well, or the time is up."""
        world, scenario = self.world, self.scenario
        broken_before = world.queue_proxy.broken()
        if scenario.beat:
            world.database.execute(
                "UPDATE django_celery_beat_intervalschedule SET every = 1, period = 'seconds'"
            )
            world.start_beat()
        moments = scenario.moments(len(self.bodies))
        cuts = sorted(world.rng.sample(range(1, len(self.bodies)), 2 * moments))
        for before, during, broken in zip(
            cuts[::2], cuts[1::2], scenario.draw(world.rng), strict=False
        ):
            self._send_until(before)
            self._await_stored(world.rng.uniform(0, 0.7) * before)
            self._go_wrong(broken, during)
        self._send_until(len(self.bodies))
        result = self._await_end()
        requests = world.queue_proxy.broken() - broken_before
        return Outcome(
            scenario.name, self.injected + requests, result, depths(world.wire.sqs), self._seconds
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _go_wrong(self, broken: list[Fault], during: int) -> None:
        seconds = self.world.rng.uniform(*self.scenario.lasts)
        names = ", ".join(fault.__name__ for fault in broken)
        print(f"{self._seconds:6.1f} s  {names}, for {seconds:.1f} s", flush=True)
        self.injected += len(broken)
        with ExitStack() as stack:
            for fault in broken:
                stack.enter_context(fault(self.world))
            self._send_until(during)
            time.sleep(seconds)

    def _send_until(self, end: int) -> None:
        self.world.wire.send(self.bodies[self._sent : end])
        self._sent = end

    def _await_stored(self, enough: float) -> None:
        while time.monotonic() < self._deadline:
            ((stored,),) = self.world.database.rows("SELECT count(*) FROM harvest_harvestevent")
            if stored >= enough:
                return
            time.sleep(0.2)

    def _await_end(self) -> Count:
        while True:
            is_over = time.monotonic() > self._deadline
            if is_over or not any(depths(self.world.wire.sqs).values()):
                result = count(self.expected, self.world.database.rows)
                if is_over or result.is_right:
                    return result
            time.sleep(0.5)
