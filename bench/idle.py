"""What a worker asks of SQS while nothing happens, what that costs, and what for an event alone."""

from __future__ import annotations

import time

from bench.figures import Figure
from bench.latency import path
from bench.world import A_REQUEST, World

SECONDS = 180

#: Events that come one by one, each when the one before is done with.
LONE = 30
BETWEEN = 3


WHY = (
    "idle: two receives of 20 seconds are six requests a minute; more means that they end early. The\n"
    "worker's log says why, if it is for an error."
)


def run(world: World) -> list[Figure]:
    world.worker().wait_for("consumer_started")
    time.sleep(5)  # what it asks when it starts is over
    with world.counting() as counts:
        for left in range(SECONDS, 0, -60):
            print(f"  counting for {left} s")
            time.sleep(60)
    a_minute = counts.requests / SECONDS * 60
    started = time.monotonic()
    with world.counting() as lone:
        for number in range(LONE):
            path(world, f"lone__{number}")
            time.sleep(BETWEEN)
    while_idle = counts.requests / SECONDS * (time.monotonic() - started)
    return [
        Figure("idle: SQS requests a minute", a_minute, at_most=9, why=WHY),
        Figure("idle: cost of a day", a_minute * 24 * 60 * A_REQUEST, "USD"),
        Figure("idle: SQS requests for an event that comes alone", (lone.requests - while_idle) / LONE),
        Figure("idle: SQL queries a minute", counts.queries / SECONDS * 60),
    ]
