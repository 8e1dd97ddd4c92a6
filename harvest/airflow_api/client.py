"""What Airflow is asked, the same for every way in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import structlog

from harvest import metrics
from harvest.airflow_api.answers import (
    AirflowRun,
    Answer,
    TaskInstance,
    checked,
    read_page,
    read_run,
    read_task_instance,
)
from harvest.airflow_api.errors import AirflowError, Refused, Unavailable
from harvest.airflow_api.hosts import Host

logger = structlog.stdlib.get_logger(__name__)

#: What Airflow gives at most on one page, unless it was told otherwise.
PAGE = 100
#: Items of one list. Rikolti's largest run has some thousand tasks.
MAX_LISTED = 20_000

T = TypeVar("T")


class Api(Protocol):
    """A way in: sends one request, and returns the answer, whatever it says."""

    def ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None
    ) -> Answer: ...


class Client:
    """Asks one Airflow. Every method raises AirflowError; only NotFound says something of the run."""

    def __init__(self, host: Host, api: Api) -> None:
        self.host = host
        self._api = api

    def get_run(self, dag_id: str, dag_run_id: str) -> AirflowRun:
        """Return a run as it is now."""
        return self._run("GET", _run_path(dag_id, dag_run_id), dag_id, dag_run_id)

    def list_runs(self, dag_id: str, since: datetime, until: datetime) -> Iterator[AirflowRun]:
        """Yield the runs of a DAG that started or ended in a window, its ends included, each once.

        By their start, the oldest first; then those that only ended in it, such as ones that failed in
        the queue, and never started. A run that can't be read is logged, and left out.
        """
        path, seen = f"{_dag_path(dag_id)}/dagRuns", set()
        for date in ("start_date", "end_date"):
            window = {
                f"{date}_gte": since.isoformat(),
                f"{date}_lte": until.isoformat(),
                "order_by": date,
            }
            for run in self._list(path, "dag_runs", dag_id, window, read_run):
                if run.dag_id == dag_id and run.dag_run_id not in seen:
                    seen.add(run.dag_run_id)
                    yield run

    def trigger_run(
        self, dag_id: str, dag_run_id: str, conf: Mapping[str, Any], logical_date: datetime
    ) -> AirflowRun:
        """Start a run.

        Raises:
            AlreadyExists: Airflow has one of this id or logical date.
        """
        body = {
            "dag_run_id": dag_run_id,
            "logical_date": logical_date.isoformat(),
            "conf": dict(conf),
        }
        return self._run("POST", f"{_dag_path(dag_id)}/dagRuns", dag_id, dag_run_id, body)

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterator[TaskInstance]:
        """Yield the tasks of a run, each at its newest try. One that can't be read is left out."""
        path = f"{_run_path(dag_id, dag_run_id)}/taskInstances"
        return self._list(path, "task_instances", dag_id, {}, read_task_instance)

    def _run(
        self,
        method: str,
        path: str,
        dag_id: str,
        dag_run_id: str,
        body: Mapping[str, Any] | None = None,
    ) -> AirflowRun:
        run = read_run(self._ask(method, path, {}, body, dag_id))
        if (run.dag_id, run.dag_run_id) != (dag_id, dag_run_id):
            raise Unavailable("answered with another run")
        return run

    def _list(
        self,
        path: str,
        key: str,
        dag_id: str,
        query: Mapping[str, str],
        read: Callable[[Any], T],
    ) -> Iterator[T]:
        seen = 0
        while True:
            page: dict[str, str | int] = {**query, "limit": PAGE, "offset": seen}
            items, total = read_page(self._ask("GET", path, page, None, dag_id), key)
            items = items[:PAGE]
            for item in items:
                try:
                    yield read(item)
                except Unavailable as error:
                    logger.warning("listed_run_unreadable", host=self.host.address, error=str(error))
            seen += len(items)
            if not items or seen >= total:
                return
            if seen >= MAX_LISTED:
                raise Unavailable(f"lists over {MAX_LISTED} at once")

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        dag_id: str,
    ) -> Any:
        """Return what one request is answered with, and count it by what came of it."""
        outcome = AirflowError.outcome  # also where the time of the task that asks is up
        try:
            data = checked(self._api.ask(method, path, query, body), dag_id)
            outcome = "ok"
        except AirflowError as error:
            outcome = error.outcome
            raise
        finally:
            metrics.add(metrics.AIRFLOW_REQUESTS, outcome=outcome)
        return data


def _dag_path(dag_id: str) -> str:
    return f"/dags/{_segment(dag_id)}"


def _run_path(dag_id: str, dag_run_id: str) -> str:
    return f"{_dag_path(dag_id)}/dagRuns/{_segment(dag_run_id)}"


def _segment(name: str) -> str:
    """Return a name from outside as one part of a path, of which servers would make no other path."""
    if name in ("", ".", "..", "~") or "/" in name or "\\" in name:
        raise Refused("not asked: no DAG or run of Airflow has such a name")
    return quote(name, safe="")
