"""What goes wrong: each fault breaks something, lets the caller go on, and mends it.

What is drawn is drawn from the world's seeded generator.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.broker.processes import wait_until
from tests.chaos.databases import Postgres, Sqlite
from tests.chaos.world import World

logger = logging.getLogger("chaos")

#: An idle worker notices that the monitor is gone with its next heartbeat.
HEARTBEAT_SECONDS = 3

#: Just after another fault there may be no session to end: what a worker tries again waits a while.
SESSION_SECONDS = 10

#: What a worker says of a message whose certificate it can't get.
UNVERIFIED = "not verified yet"

Fault = Callable[[World], AbstractContextManager[None]]

# --- processes ------------------------------------------------------------------------------------


@contextmanager
def worker_killed(world: World) -> Iterator[None]:
    world.worker.kill()
    yield
    world.start_worker()


@contextmanager
def main_process_killed(world: World) -> Iterator[None]:
    """The next worker starts while the children of the last may still be at work."""
    orphaned = world.worker
    orphaned.kill_alone()
    world.start_worker()
    yield
    wait_until(lambda: not orphaned.signal_all(0), "the end of the orphans")


@contextmanager
def pool_process_killed(world: World) -> Iterator[None]:
    """The worker is left alone until it has noticed: one that is killed before says nothing of it."""
    worker = world.worker
    children = worker.children
    killed = world.rng.choice(children) if children else None
    if killed is not None:
        os.kill(killed, signal.SIGKILL)
    yield
    wait_until(lambda: killed not in worker.children, "the end of the child")


@contextmanager
def beat_killed(world: World) -> Iterator[None]:
    world.beat.kill()
    yield
    world.start_beat()


# --- databases ------------------------------------------------------------------------------------


@contextmanager
def database_restarted(world: World) -> Iterator[None]:
    postgres = _postgres(world)
    postgres.server.stop(world.rng.choice(("fast", "immediate")))
    yield
    postgres.server.start()


@contextmanager
def database_session_killed(world: World) -> Iterator[None]:
    _strike(_postgres(world).kill_session)
    yield


@contextmanager
def sessions_ended(world: World) -> Iterator[None]:
    _strike(_postgres(world).end_sessions)
    yield


def _strike(end: Callable[[], bool]) -> None:
    """End what there is as soon as there is something. In vain, it is as if nothing had gone wrong."""
    until = time.monotonic() + SESSION_SECONDS
    while not end() and time.monotonic() < until:
        time.sleep(0.1)


@contextmanager
def connections_refused(world: World) -> Iterator[None]:
    world.database_proxy.refuse()
    yield
    world.database_proxy.let_through()


@contextmanager
def database_silent(world: World) -> Iterator[None]:
    world.database_proxy.fall_silent()
    yield
    world.database_proxy.let_through()


@contextmanager
def deadlock(world: World) -> Iterator[None]:
    with _postgres(world).crossing_locks("harvest_harvestrun", "harvest_harvestevent"):
        yield


@contextmanager
def deadlock_other_way(world: World) -> Iterator[None]:
    with _postgres(world).crossing_locks("harvest_harvestevent", "harvest_harvestrun"):
        yield


@contextmanager
def disk_full(world: World) -> Iterator[None]:
    assert isinstance(world.database, Sqlite)
    world.database.fill_disk()
    yield
    world.database.free_disk()


def _postgres(world: World) -> Postgres:
    assert isinstance(world.database, Postgres)
    return world.database


# --- queues ---------------------------------------------------------------------------------------


@contextmanager
def throttled(world: World) -> Iterator[None]:
    codes = ("ThrottlingException", "RequestThrottled")
    yield from _broken(world, error={"code": world.rng.choice(codes)})


@contextmanager
def failing(world: World) -> Iterator[None]:
    error = {"code": "InternalError", "status": world.rng.choice((500, 503))}
    yield from _broken(world, error=error)


@contextmanager
def reset(world: World) -> Iterator[None]:
    """Connections end before the request has been heard, or after: then nobody knows of it."""
    heard = {"response": {"abort_bytes": 0}}
    yield from _broken(world, **world.rng.choice(({"reset": True}, heard)))


@contextmanager
def slow(world: World) -> Iterator[None]:
    yield from _broken(
        world,
        **world.rng.choice(({"latency": {"min": 100, "max": 1500}}, {"timeout_ms": 2000})),
    )


@contextmanager
def delivered_twice(world: World) -> Iterator[None]:
    """Deletes are answered, and not done: SQS promises to deliver at least once, in any order."""
    swallowed = {"code": "Swallowed", "status": 200}
    yield from _broken(
        world,
        {"operation": "DeleteMessage", "error": swallowed},
        {"operation": "DeleteMessageBatch", "error": swallowed},
    )


def _broken(world: World, *only: dict[str, Any], **effect: Any) -> Iterator[None]:
    """Break some requests in a row, let some pass, and so on."""
    sequence = {"fail": world.rng.randint(1, 6), "pass": world.rng.randint(1, 6)}
    rules = [{"sequence": sequence, **rule, **effect} for rule in only or ({},)]
    world.queue_proxy.break_requests(*rules)
    yield
    world.queue_proxy.break_requests()


# --- the rest -------------------------------------------------------------------------------------


@contextmanager
def clock_jumped(world: World) -> Iterator[None]:
    hours = world.rng.choice((-30, -3, -1, 1, 8, 50))
    logger.info("        by %+d hours", hours)
    world.clock.jump(hours)
    yield
    world.clock.put_right()


@contextmanager
def monitor_gone(world: World) -> Iterator[None]:
    world.monitor.stop()
    yield
    time.sleep(HEARTBEAT_SECONDS)
    world.monitor.start()


@contextmanager
def monitor_hung(world: World) -> Iterator[None]:
    world.monitor.hang()
    yield
    world.monitor.go_on()


@contextmanager
def certificates_away(world: World) -> Iterator[None]:
    """SNS's host can't be reached, just when a worker was killed and the next has no certificate yet. It
    is back when some message could not be verified."""
    world.sns.away = True
    unverified = world.logs.count(UNVERIFIED)
    world.worker.kill()
    world.start_worker()
    yield
    wait_until(lambda: world.logs.count(UNVERIFIED) > unverified, "a message that waits")
    world.sns.away = False


#: Of each group one goes wrong at a time.
PROCESSES = (worker_killed, main_process_killed, pool_process_killed, beat_killed)
RESTARTS = (database_restarted, database_session_killed)
CONNECTIONS = (sessions_ended, connections_refused, database_silent)
DEADLOCKS = (deadlock, deadlock_other_way)
QUEUES = (throttled, failing, reset, slow, delivered_twice)
CLOCK = (clock_jumped,)
CERTIFICATES = (certificates_away,)
MONITOR = (monitor_gone, monitor_hung)
