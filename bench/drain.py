"""Draining a backlog: one worker against bare boto3 loops, and what it costs in requests and queries."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from psycopg.types.json import Jsonb

from bench.figures import Figure
from bench.traffic import interleaved
from bench.world import World
from harvest.provision import EVENTS
from tests.broker.processes import wait_until

EVENTS_SENT = 10_000
RUNS = 100
ROUNDS = 3


def run(world: World) -> list[Figure]:
    seconds: dict[str, list[float]] = {"pipeline": [], "insert": [], "delete": []}
    ways: dict[str, Callable[[World], float]] = {
        "insert": lambda world: _bare_loop(world, insert=True),
        "pipeline": _pipeline,
        "delete": lambda world: _bare_loop(world, insert=False),
    }
    for number in range(1, ROUNDS + 1):
        for name, way in ways.items():
            world.renew()
            world.wire.send(interleaved(EVENTS_SENT, RUNS))
            seconds[name].append(way(world))
            print(f"  round {number}: {name:<8} {EVENTS_SENT / seconds[name][-1]:>6,.0f} events/s")

    def ratio(name: str) -> float:
        pairs = zip(seconds[name], seconds["pipeline"], strict=True)
        return median(bare / pipeline for bare, pipeline in pairs)

    return [
        Figure("drain: rate", EVENTS_SENT / median(seconds["pipeline"]), "events/s"),
        Figure("drain: against receive, insert, delete", ratio("insert"), "x", at_least=1.0),
        Figure("drain: against receive, delete", ratio("delete"), "x", at_least=0.5),
        *_costs(world),
    ]


def _pipeline(world: World) -> float:
    """Return the seconds from a worker's first receive until all is stored and told."""
    worker = world.worker()
    worker.wait_for("taking events from")
    started = time.perf_counter()
    _wait_for_all(world)
    seconds = time.perf_counter() - started
    wait_until(world.wire.is_empty, "empty queues")
    worker.terminate()
    return seconds


def _wait_for_all(world: World) -> None:
    with world.connect() as connection:

        def told() -> bool:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM harvest_harvestevent), (SELECT count(*) FROM "
                "harvest_harvestrun WHERE status = 'succeeded' AND recompute_due_at IS NULL)"
            ).fetchone()
            return row == (EVENTS_SENT, RUNS)

        wait_until(told, f"{EVENTS_SENT} events stored, {RUNS} runs succeeded", patience=300)


def _bare_loop(world: World, *, insert: bool) -> float:
    """Receive ten, insert them by one statement, delete them, until there are none."""
    url, sqs = world.wire.url(EVENTS), world.wire.sqs
    with world.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bare")
        connection.execute("CREATE TABLE bare (id text PRIMARY KEY, body jsonb)")
        started = time.perf_counter()
        taken = 0
        while taken < EVENTS_SENT:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            if messages and insert:
                rows = [value for m in messages for value in (m["MessageId"], Jsonb(m["Body"]))]
                places = ", ".join(["(%s, %s)"] * len(messages))
                connection.execute(
                    f"INSERT INTO bare VALUES {places} ON CONFLICT DO NOTHING",
                    rows,
                )
            if messages:
                sqs.delete_message_batch(
                    QueueUrl=url,
                    Entries=[
                        {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]}
                        for i, m in enumerate(messages)
                    ],
                )
            taken += len(messages)
        return time.perf_counter() - started


def _costs(world: World) -> list[Figure]:
    """Count what one more drain asks of SQS and of the database."""
    world.renew()
    world.wire.send(interleaved(EVENTS_SENT, RUNS))
    with world.counting() as counts:
        _pipeline(world)
    return [
        Figure("drain: SQS requests an event", counts.requests / EVENTS_SENT, at_most=0.3),
        Figure("drain: SQL queries an event", counts.queries / EVENTS_SENT, at_most=1.0),
        Figure("drain: transactions an event", counts.transactions / EVENTS_SENT),
    ]
