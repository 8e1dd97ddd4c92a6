"""Runs that sent nothing: Airflow lists all, and those that are not known are made.

A run may fail before its first event, or all of its events be lost. Of runs that are known the list is
an answer like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.utils import timezone

from harvest import metrics, recording
from harvest.airflow import DAG_IDS, outcome_of_state
from harvest.airflow_api import AirflowError, AirflowRun, Client, NotFound, hosts
from harvest.models import HarvestRun

logger = structlog.stdlib.get_logger(__name__)

#: How far back beat looks, hour by hour: a host that is away for less is caught up with.
REACH = timedelta(days=2)

#: What one task lists. A day of Rikolti has some hundred runs.
SLICE = timedelta(hours=12)

#: Runs that are looked up at once.
_CHUNK = 100


class Window(NamedTuple):
    """The runs of one DAG on one host that started or ended in a span of time, its ends included."""

    host: str
    dag_id: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What one chunk of a list has brought: runs in it, those that were made, or would be, and those
    that a fault of ours kept from being recorded."""

    runs: int
    made: int
    failed: int = 0


def windows(
    since: datetime,
    until: datetime,
    of_hosts: Iterable[str] | None = None,
    dag_ids: Iterable[str] = DAG_IDS,
) -> Iterator[Window]:
    """Yield what to list, the oldest first: for each host and DAG, in slices."""
    on, of = list(hosts() if of_hosts is None else of_hosts), list(dag_ids)
    while since < until:
        end = min(since + SLICE, until)
        yield from (Window(host, dag_id, since, end) for host in on for dag_id in of)
        since = end


def fill(client: Client, window: Window, *, dry_run: bool = False) -> Iterator[Listed]:
    """List the runs of a window, and make those that are not known. Yield what each chunk brought.

    Raises:
        AirflowError: Airflow can't be asked. What was listed before is recorded.
    """
    asked_at = timezone.now()
    chunk: list[AirflowRun] = []
    failure: AirflowError | None = None
    try:
        for run in client.list_runs(window.dag_id, window.since, window.until):
            chunk.append(run)
            if len(chunk) == _CHUNK:
                yield _take(window, chunk, asked_at, dry_run)
                chunk = []
    except NotFound:
        pass  # of a DAG that this Airflow does not have
    except AirflowError as error:
        failure = error
    if chunk:
        yield _take(window, chunk, asked_at, dry_run)
    if failure is not None:
        raise failure


def _take(window: Window, chunk: Sequence[AirflowRun], asked_at: datetime, dry_run: bool) -> Listed:
    known = _known(window, chunk)
    made = failed = 0
    for run in chunk:
        before = known.get(run.dag_run_id)
        if dry_run or _says_nothing_new(run, before) or _record(window, run, asked_at):
            made += before is None
        else:
            failed += 1
    if not dry_run:
        metrics.add(metrics.BACKFILLED_RUNS, made, result="made")
        metrics.add(metrics.BACKFILLED_RUNS, len(chunk) - made - failed, result="known")
    return Listed(len(chunk), made, failed)


def _record(window: Window, run: AirflowRun, asked_at: datetime) -> bool:
    """Record one run. Return False for a fault of ours, which must not keep others from being made."""
    try:
        recording.record_listed(window.host, run, asked_at)
    except recording.TransientError:
        raise
    except Exception:
        logger.exception(
            "listed_run_not_recorded",
            host=window.host,
            dag_id=window.dag_id,
            dag_run_id=run.dag_run_id,
        )
        return False
    return True


def _known(window: Window, chunk: Iterable[AirflowRun]) -> dict[str, HarvestRun]:
    """Return the runs of a chunk that are known, also while no event has named their host."""
    runs = HarvestRun.objects.filter(
        dag_run_id__in=[run.dag_run_id for run in chunk],
        dag_id=window.dag_id,
        host__in=(window.host, ""),
    ).order_by("host")  # that with a host last, so that it is the one that counts
    return {run.dag_run_id: run for run in runs}


def _says_nothing_new(listed: AirflowRun, known: HarvestRun | None) -> bool:
    if known is None or not known.host or known.lost_since is not None:
        return False
    if known.status != outcome_of_state(listed.state):
        return False
    # A run that has sent nothing has all that it tells from here.
    return known.first_event_at is not None or (
        known.dag_run_conf == listed.conf
        and known.logical_date == (listed.logical_date or known.logical_date)
        and known.airflow_started_at == listed.start_date
        and known.airflow_ended_at == listed.end_date
    )
