"""Draining a backlog: one worker against bare boto3 loops, and what it costs in requests and queries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from bench import cpu
from bench.figures import Figure
from bench.traffic import interleaved
from bench.world import A_REQUEST, World
from harvest.provision import EVENTS
from tests.broker.processes import Process, wait_until

EVENTS_SENT = 10_000
RUNS = 100
ROUNDS = 3

WHY = (
    "drain: the pipeline does more than a bare loop (runs, chains, results, statuses), on the same\n"
    "processors. More of them would meet the goal, or a queue server that isn't slower the more it\n"
    "holds, as Amazon's is not: docs/benchmarks.md."
)

WHY_MANY = (
    "drain: requests and queries are a chain's; of a worker that is not kept busy, which collects less\n"
    "before it publishes, each event has a larger share of them. Longer chains would meet the goal."
)

#: Events that come each alone.
LONE = 1_000

Insert = Callable[[Connection[Any], Sequence[Any]], None]

_EVENT_COLUMNS = (
    "message_id", "harvest_run_id", "sns_timestamp", "task_id", "try_number", "map_index",
    "rikolti_message", "error", "dag_level", "outcome", "host", "logical_date", "dag_run_conf",
    "sqs_message", "sns_message", "recorded_at",
)  # fmt: skip


def run(world: World) -> list[Figure]:
    ways: dict[str, Callable[[World], float]] = {
        "events": lambda world: _bare_loop(world, _insert_events),
        "pipeline": _pipeline,
        "two workers": lambda world: _pipeline(world, workers=2),
        "bodies": lambda world: _bare_loop(world, _insert_bodies),
        "delete": lambda world: _bare_loop(world, None),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, ROUNDS + 1):
        for name, way in ways.items():
            _fill(world)
            seconds[name].append(way(world))
            print(f"  round {number}: {name:<11} {EVENTS_SENT / seconds[name][-1]:>6,.0f} events/s")

    def ratio(name: str) -> float:
        pairs = zip(seconds[name], seconds["pipeline"], strict=True)
        return median(bare / pipeline for bare, pipeline in pairs)

    return [
        Figure("drain: rate", EVENTS_SENT / median(seconds["pipeline"]), "events/s"),
        Figure(
            "drain: against receive, insert events, delete", ratio("events"), "x", at_least=1.0, why=WHY
        ),
        Figure(
            "drain: against receive, insert bodies, delete", ratio("bodies"), "x", at_least=1.0, why=WHY
        ),
        Figure("drain: against receive, delete", ratio("delete"), "x", at_least=0.5, why=WHY),
        Figure("drain: two workers against one", 1 / ratio("two workers"), "x"),
        *_requests(world),
        *_processors(world),
        *_lone(world),
    ]


def _fill(world: World, events: int = EVENTS_SENT, runs: int = RUNS) -> None:
    """Have nothing stored, and so many events waiting."""
    world.renew()
    world.wire.send(interleaved(events, runs))


def _pipeline(world: World, workers: int = 1) -> float:
    with _drained(world, workers) as (seconds, _):
        return seconds


@contextmanager
def _drained(
    world: World, workers: int = 1, events: int = EVENTS_SENT, runs: int = RUNS
) -> Iterator[tuple[float, list[Process]]]:
    """Give the seconds from the workers' first receive until all is stored and told, and the workers."""
    running = [world.worker(ready=False) for _ in range(workers)]
    for worker in running:
        worker.wait_for("consumer_started")
    started = time.perf_counter()
    _wait_for_all(world, events, runs)
    seconds = time.perf_counter() - started
    wait_until(world.wire.is_empty, "empty queues")
    yield seconds, running
    for worker in running:
        worker.terminate()


def _wait_for_all(world: World, events: int, runs: int) -> None:
    with world.connect() as connection:

        def told() -> bool:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM harvest_harvestevent), (SELECT count(*) FROM "
                "harvest_harvestrun WHERE status = 'succeeded' AND recompute_due_at IS NULL)"
            ).fetchone()
            return row == (events, runs)

        wait_until(told, f"{events} events stored, {runs} runs succeeded", patience=300)


def _bare_loop(world: World, insert: Insert | None) -> float:
    """Receive ten, insert them by one statement, delete them, until there are none."""
    url, sqs = world.wire.url(EVENTS), world.wire.sqs
    with world.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bare, bare_event")
        connection.execute("CREATE TABLE bare (id text PRIMARY KEY, body jsonb)")
        connection.execute("CREATE TABLE bare_event (LIKE harvest_harvestevent INCLUDING ALL)")
        # What it does not read.
        connection.execute("ALTER TABLE bare_event ALTER version SET DEFAULT ''")
        started = time.perf_counter()
        taken = 0
        while taken < EVENTS_SENT:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            if messages and insert:
                insert(connection, messages)
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


def _insert_bodies(connection: Connection[Any], messages: Sequence[Any]) -> None:
    """The least that could be called storing: an id and a body, unread."""
    rows = [(message["MessageId"], Jsonb(message["Body"])) for message in messages]
    _insert(connection, "bare", ("id", "body"), rows)


def _insert_events(connection: Connection[Any], messages: Sequence[Any]) -> None:
    """What the pipeline stores of an event, with the same indexes, but nothing about its run."""
    rows = []
    for message in messages:
        envelope = json.loads(message["Body"])
        event = json.loads(envelope["Message"])
        rows.append(
            (
                envelope["MessageId"], 1, envelope["Timestamp"], event["task_id"], event["try_number"],
                event["map_index"], Jsonb(event["rikolti_message"]), False, False, "running",
                event["host"], event["logical_date"], Jsonb(event["dag_run_conf"]), Jsonb({}),
                Jsonb({}), datetime.now(UTC),
            )
        )  # fmt: skip
    _insert(connection, "bare_event", _EVENT_COLUMNS, rows)


def _insert(
    connection: Connection[Any], table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    row = f"({', '.join(['%s'] * len(columns))})"
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * len(rows))} "
        "ON CONFLICT DO NOTHING",
        [value for values in rows for value in values],
    )


def _requests(world: World) -> list[Figure]:
    """Count what one more drain asks of SQS and of the database."""
    _fill(world)
    with world.counting() as counts:
        _pipeline(world)
    million = counts.requests / EVENTS_SENT * 1e6
    return [
        Figure("drain: SQS requests an event", counts.requests / EVENTS_SENT, at_most=0.3, why=WHY_MANY),
        Figure("drain: SQS cost of a million events", million * A_REQUEST, "USD"),
        Figure("drain: SQL queries an event", counts.queries / EVENTS_SENT, at_most=1.0, why=WHY_MANY),
        Figure("drain: transactions an event", counts.transactions / EVENTS_SENT),
    ]


def _processors(world: World) -> list[Figure]:
    """See who uses the processors in one more drain, and what the tables take afterwards."""
    _fill(world)
    before = cpu.seconds(world)
    with _drained(world) as (_, workers):
        used = cpu.since(before, world, workers)
    with world.connect() as connection:
        row = connection.execute("SELECT pg_total_relation_size('harvest_harvestevent')").fetchone()
    size = float(str(row[0])) if row else 0.0
    _fill(world)
    before = cpu.seconds(world)
    _bare_loop(world, _insert_events)
    bare = cpu.since(before, world)
    return [
        *(Figure(f"drain: CPU of {who}", used[who], "s") for who in used),
        Figure(f"drain: CPU of {cpu.QUEUES}, in the bare loop", bare[cpu.QUEUES], "s"),
        Figure("drain: tables and indexes an event", size / EVENTS_SENT / 1000, "KB"),
    ]


def _lone(world: World) -> list[Figure]:
    """Drain events each of a run of its own, so that a chain has one."""
    _fill(world, LONE, LONE)
    before = cpu.seconds(world)
    with _drained(world, events=LONE, runs=LONE) as (seconds, workers):
        used = cpu.since(before, world, workers)
        children = len(workers[0].children)
    return [
        Figure("drain: a chain of one event, of a child", seconds * children / LONE * 1000, "ms"),
        Figure("drain: CPU of that", used[cpu.CHILDREN] / LONE * 1000, "ms"),
    ]
