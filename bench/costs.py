"""What single steps cost, from which docs/scaling.md and docs/benchmarks.md reckon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import median
from typing import Any
from uuid import uuid4

from bench.figures import Figure
from bench.traffic import interleaved
from bench.world import World
from harvest import recording
from harvest.airflow import parse_event
from harvest.provision import EVENTS
from harvest.sns import SqsMessage, parse_notification

ROUNDS = 40
RUNS = 100

#: Messages that wait while some are received.
DEPTHS = 1_000, 10_000
#: Events of a chain, of which the first costs more than the others.
CHAIN = 100


def run(world: World) -> list[Figure]:
    return [*(_receive(world, depth) for depth in DEPTHS), _reading(), _storing()]


def _receive(world: World, depth: int) -> Figure:
    """Receive ten messages at a time, while so many are there."""
    world.renew()
    world.wire.send(interleaved(depth, RUNS))
    url = world.wire.url(EVENTS)

    def receive(_: int) -> None:
        world.wire.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)

    return Figure(f"costs: a receive of ten of {depth:,}", _median(receive, range(ROUNDS)), "ms")


def _reading() -> Figure:
    """Read messages from the body to the event, as the consumer does, and the task again."""
    messages = _messages("read", ROUNDS)
    return Figure(
        "costs: reading a message",
        _median(lambda message: parse_event(parse_notification(message)), messages) * 1000,
        "µs",
    )


def _storing() -> Figure:
    """Record chains of one event and of many, each of a run of its own, and tell their statuses."""

    def record(messages: list[SqsMessage]) -> None:
        run_id = recording.record(messages).run_id
        assert run_id is not None
        recording.recompute(run_id)

    lone, long = (
        _median(record, [_messages(f"{size}-{number}", size) for number in range(ROUNDS)])
        for size in (1, CHAIN)
    )
    return Figure("costs: each event of a chain but the first", (long - lone) / (CHAIN - 1), "ms")


def _messages(run: str, number: int) -> list[SqsMessage]:
    now = datetime.now(UTC)
    return [
        SqsMessage(str(uuid4()), body, "handle", "", now) for body in interleaved(number, 1, prefix=run)
    ]


def _median(step: Callable[[Any], object], each: Iterable[Any]) -> float:
    """Return the median of the milliseconds that a step takes."""
    took = []
    for one in each:
        started = time.perf_counter()
        step(one)
        took.append(time.perf_counter() - started)
    return median(took) * 1000
