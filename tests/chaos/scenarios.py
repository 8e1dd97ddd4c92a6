"""The scenarios, and how one is played."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from tests.broker.processes import wait_until
from tests.chaos import faults
from tests.chaos.counter import Count, count, depths, expect
from tests.chaos.faults import Fault
from tests.chaos.world import World

logger = logging.getLogger("chaos")

#: How often something goes wrong: for so many events once, but at most so often.
EVENTS_A_MOMENT = 500
MOST_MOMENTS = 12
#: How many faults of different groups come together.
AT_ONCE = 3

#: Seconds between breaking and mending.
LASTS = (0.5, 2.5)

#: Seconds until a scenario has failed: for a machine that has much else to do, and more for more events.
PATIENCE = 240
EVENTS_A_SECOND = 10


def patience(n_bodies: int) -> float:
    """Return seconds in which a scenario must come to a good end."""
    return PATIENCE + n_bodies / EVENTS_A_SECOND


Evidence = Callable[[World], bool]


def said(words: str, world: World) -> bool:
    """A worker, beat or the database says so."""
    return words in world.logs


def clocks_differed(world: World) -> bool:
    """Events were recorded at a time that is not now."""
    dates = world.database.rows("SELECT recorded_at FROM harvest_harvestevent")
    hours = {str(date)[:13] for (date,) in dates}
    return len(hours) > 2  # one may end while this is played


@dataclass(frozen=True)
class Scenario:
    """What goes wrong while events come in, in groups of which one fault at a time is chosen."""

    name: str
    engine: str
    groups: tuple[tuple[Fault, ...], ...]
    #: How it shows that the faults have come through to the pipeline.
    evidence: tuple[Evidence, ...] = ()
    #: Whether what a worker holds stays with it for longer than a retry waits, as in production. Where
    #: workers are killed, it comes back as soon as a living worker can't hold it any more.
    holds_long: bool = False
    beat: bool = False
    #: Whether what comes is signed, and nothing else is believed: for faults of SNS's host.
    signed: bool = False

    @property
    def breaks_requests(self) -> bool:
        """Return whether requests to SQS are sure to be broken. That some are slow, or done twice, is in
        no log; the proxy counts them."""
        return all(set(group) & set(faults.QUEUES) for group in self.groups)

    def visibility_timeout(self, n_bodies: int) -> int:
        """Return seconds: more than a busy machine needs for what a worker holds. With fewer, all is
        delivered again and again, and no end of it."""
        return 60 if self.holds_long else 15 + n_bodies // 400

    def moments(self, n_bodies: int) -> int:
        """Return how often something goes wrong: enough for each fault of a group."""
        return max(*map(len, self.groups), 2, min(MOST_MOMENTS, n_bodies // EVENTS_A_MOMENT))

    def draw(self, rng: random.Random) -> Iterator[list[Fault]]:
        """Yield what goes wrong at each moment."""
        decks = [cycle(rng.sample(group, len(group))) for group in self.groups]
        while True:
            yield [next(deck) for deck in rng.sample(decks, min(AT_ONCE, len(decks)))]


KILLED = partial(said, "exited with 'signal 9")
CUT = partial(said, "due to administrator command")
DEADLOCKED = partial(said, "deadlock detected")
RESTARTED = partial(said, "result_not_stored")
THROTTLED = partial(said, "hrottl")
ANSWERED_500 = partial(said, "InternalError")
RESET = partial(said, "Connection was closed")
NO_MONITOR = partial(said, "remote_control_unreachable")

#: Each by itself, for `make chaos`.
SCENARIOS = (
    Scenario("processes-killed", "sqlite", (faults.PROCESSES,), (KILLED,), beat=True),
    Scenario("postgresql-restarted", "postgresql", (faults.RESTARTS,), (RESTARTED,), holds_long=True),
    Scenario("connections-cut", "postgresql", (faults.CONNECTIONS,), (CUT,), holds_long=True),
    Scenario("deadlocks", "postgresql", (faults.DEADLOCKS,), (DEADLOCKED,), holds_long=True),
    Scenario("sqs-throttles", "sqlite", ((faults.throttled,),), (THROTTLED,)),
    Scenario("sqs-resets", "sqlite", ((faults.reset,),), (RESET,)),
    Scenario("sqs-is-slow", "sqlite", ((faults.slow,),)),
    Scenario("sqs-answers-500", "sqlite", ((faults.failing,),), (ANSWERED_500,)),
    Scenario("sqs-delivers-twice", "postgresql", ((faults.delivered_twice,),)),
    Scenario(
        "disk-full", "sqlite", ((faults.disk_full,),), (partial(said, "disk is full"),), holds_long=True
    ),
    Scenario("clock-jumps", "postgresql", (faults.CLOCK,), (clocks_differed,), beat=True),
    Scenario("monitor-gone", "sqlite", (faults.MONITOR,), (NO_MONITOR,)),
    Scenario("signatures", "sqlite", (faults.CERTIFICATES,), signed=True),
    Scenario(
        "all-at-once",
        "postgresql",
        (
            faults.PROCESSES,
            (*faults.RESTARTS, *faults.CONNECTIONS, *faults.DEADLOCKS),
            faults.QUEUES,
            faults.CLOCK,
            faults.MONITOR,
        ),
        beat=True,
    ),
)

#: The same faults, those that can share their processes one after the other: for all days.
SHORT = (
    Scenario(
        "processes-and-clock",
        "sqlite",
        ((*faults.PROCESSES, *faults.CLOCK),),
        (KILLED,),
        beat=True,
    ),
    Scenario(
        "postgresql",
        "postgresql",
        ((*faults.RESTARTS, *faults.CONNECTIONS, *faults.DEADLOCKS),),
        (RESTARTED, CUT, DEADLOCKED),
        holds_long=True,
    ),
    Scenario("sqs-and-monitor", "sqlite", ((*faults.QUEUES, *faults.MONITOR),), (NO_MONITOR,)),
    *(scenario for scenario in SCENARIOS if scenario.name in ("disk-full", "signatures", "all-at-once")),
)


@dataclass(frozen=True)
class Outcome:
    """A line of the table."""

    name: str
    faults: int
    requests_broken: int
    count: Count
    depths: dict[str, int]
    seconds: float

    @property
    def injected(self) -> int:
        return self.faults + self.requests_broken

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
        self._faults = 0
        self._sent = 0
        self._started = time.monotonic()
        self._deadline = self._started + patience(len(bodies))

    def run(self) -> Outcome:
        """Send the bodies while things go wrong; then wait until all is well, or the time is up."""
        world, scenario = self.world, self.scenario
        broken_before = world.queue_proxy.broken()
        if scenario.beat:
            world.database.execute(
                "UPDATE django_celery_beat_intervalschedule SET every = 3, period = 'seconds'"
            )
            world.start_beat()
        moments = scenario.moments(len(self.bodies))
        # Uneven slices, but none so small that a fault would meet an idle worker.
        slice_size = len(self.bodies) / (2 * moments + 1)
        cuts = [int((i + world.rng.uniform(0.7, 1.3)) * slice_size) for i in range(2 * moments)]
        for before, during, broken in zip(cuts[::2], cuts[1::2], scenario.draw(world.rng), strict=False):
            self._send_until(before)
            stored = self._await_stored(world.rng.uniform(0.1, 0.5) * before)
            logger.info("%4.0f s  %d messages sent, %d events stored", self._seconds, before, stored)
            self._go_wrong(broken, during)
        self._send_until(len(self.bodies))
        result, left = self._await_end()
        seconds = self._seconds
        if scenario.beat:
            sweeps = self._sweeps()
            assert world.beat.is_alive, world.beat.log
            wait_until(lambda: self._sweeps() > sweeps, "beat to go on sweeping", 30)
        requests = world.queue_proxy.broken() - broken_before
        return Outcome(scenario.name, self._faults, requests, result, left, seconds)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _go_wrong(self, broken: list[Fault], during: int) -> None:
        seconds = self.world.rng.uniform(*LASTS)
        if set(broken) & set(faults.DEADLOCKS):
            seconds = 0  # that lasts until PostgreSQL sees it
        names = ", ".join(fault.__name__ for fault in broken)
        logger.info("%4.0f s  %s for %.1f s", self._seconds, names, seconds)
        self._faults += len(broken)
        with ExitStack() as stack:
            for fault in broken:
                stack.enter_context(fault(self.world))
            self._send_until(during)
            time.sleep(seconds)

    def _sweeps(self) -> int:
        query = "SELECT count(*) FROM django_celery_results_taskresult WHERE task_name LIKE '%_runs'"
        return int(self.world.database.rows(query)[0][0])

    def _send_until(self, end: int) -> None:
        self.world.wire.send(self.bodies[self._sent : end])
        self._sent = end

    def _await_stored(self, enough: float) -> int:
        while True:
            self.world.supervise()
            ((stored,),) = self.world.database.rows("SELECT count(*) FROM harvest_harvestevent")
            if stored >= enough or time.monotonic() > self._deadline:
                return int(stored)
            time.sleep(0.2)

    def _await_end(self) -> tuple[Count, dict[str, int]]:
        while True:
            self.world.supervise()
            is_over = time.monotonic() > self._deadline
            left = depths(self.world.wire.sqs)
            if is_over or not any(left.values()):
                result = count(self.expected, self.world.database.rows)
                if is_over or result.is_right:
                    return result, left
            time.sleep(0.5)
