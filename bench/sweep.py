"""The sweep: 1,000 stale runs among 1,000 runs, and among 100,000. It follows the stale ones alone.

Airflow is the tests' stand-in, which says that all of them still run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from bench.figures import Figure
from bench.world import World
from harvest import airflow_api, reconcile
from tests.airflow_server import PASSWORD, PASSWORD_ENV, AirflowServer

STALE = 1_000
ALL = 100_000

#: The stale ones lie among the others, as they would after two years.
_RUNS = """
    INSERT INTO harvest_harvestrun (collection_id, conf_collection_id, dag_id, dag_run_id, logical_date,
        dag_run_conf, host, status, status_source, status_note, first_event_at, last_heard_at, looks,
        airflow_state, airflow_note, airflow_failures, airflow_error, lost_reason, tasks_done,
        tasks_failed, errors, failure_reason)
    SELECT 1 + n %% 100, 1 + n %% 100, 'harvest_collection', 'run_' || n, at, '{}', %(host)s,
        CASE WHEN n %% %(every)s = 0 THEN 'running' ELSE 'succeeded' END, 'events', '', at, at, 0,
        '', '', 0, '', '', 0, 0, 0, ''
    FROM (
        SELECT n, now() - interval '1 day' - interval '2 years' * n / %(runs)s AS at
        FROM generate_series(1, %(runs)s) n
    ) AS numbered
"""


WHY = (
    "sweep: it reads runs that are not stale. An index for what finds those (harvest/reconcile.py)\n"
    "would meet the goal: EXPLAIN says which is missing."
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What it took to look at all stale runs."""

    finding_queries: int
    finding_seconds: float
    queries: int
    seconds: float


def run(world: World) -> list[Figure]:
    os.environ[PASSWORD_ENV] = PASSWORD
    with closing(AirflowServer()) as server:
        airflow_api.configure(server.hosts())
        few, many = _sweep(world, server, STALE), _sweep(world, server, ALL)
    airflow_api.configure({})
    return [
        Figure(f"sweep: queries that find {STALE:,} stale runs of {ALL:,}", many.finding_queries),
        Figure("sweep: ms that they take", many.finding_seconds * 1e3, "ms"),
        Figure(f"sweep: the same ms, of {STALE:,} runs", few.finding_seconds * 1e3, "ms"),
        Figure(f"sweep: queries of all looks, of {ALL:,} runs", many.queries),
        Figure("sweep: seconds of all looks, Airflow asked", many.seconds, "s"),
        Figure(
            f"sweep: queries of {ALL:,} runs for one of {STALE:,}",
            (many.finding_queries + many.queries) / (few.finding_queries + few.queries),
            at_most=1.0,
            why=WHY,
        ),
        Figure(
            f"sweep: time of {ALL:,} runs for one of {STALE:,}",
            (many.finding_seconds + many.seconds) / (few.finding_seconds + few.seconds),
            at_most=1.5,
            why=WHY,
        ),
    ]


def _sweep(world: World, server: AirflowServer, runs: int) -> Sweep:
    print(f"  {STALE:,} stale runs of {runs:,} …", flush=True)
    world.renew()
    with world.connect() as database:
        database.execute(
            "INSERT INTO harvest_collection (id, name, slug, campus_names, harvest_type, mapper_type, "
            "production_target_version) SELECT n, n, n, '[]', '', '', '' FROM generate_series(1, 100) n "
            "ON CONFLICT DO NOTHING"
        )
        every = runs // STALE
        database.execute(_RUNS, {"runs": runs, "every": every, "host": server.url})
        database.execute("VACUUM ANALYZE")
    server.runs.clear()
    for number in range(every, runs + 1, every):
        server.add(f"run_{number}", "running")

    finding_queries = queries = looked = 0
    finding_seconds = seconds = 0.0
    while True:
        found, counted, took = _measured(lambda: reconcile.due_runs(timezone.now()))
        finding_queries, finding_seconds = finding_queries + counted, finding_seconds + took
        if not found:
            break
        for run_id in found:
            _, counted, took = _measured(lambda run_id=run_id: reconcile.look_at(run_id))  # type: ignore[misc]
            queries, seconds, looked = queries + counted, seconds + took, looked + 1
    if looked != STALE:
        raise RuntimeError(f"{looked} runs were looked at, not {STALE}")
    return Sweep(finding_queries, finding_seconds, queries, seconds)


def _measured(do: Callable[[], Any]) -> tuple[Any, int, float]:
    """Return what it returns, the queries, and the seconds."""
    count = 0

    def counting(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        return execute(*arguments)

    began = time.perf_counter()
    with connection.execute_wrapper(counting):
        result = do()
    return result, count, time.perf_counter() - began
