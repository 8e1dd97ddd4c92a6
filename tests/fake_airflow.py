"""An Airflow in this process, behind the real client: it has runs, refuses, breaks, or is away."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any
from urllib.parse import unquote

from harvest.airflow_api import Client, Unavailable
from harvest.airflow_api.answers import Answer
from harvest.airflow_api.hosts import Host, Kind
from tests.factories import HOST


class FakeAirflow:
    """Answers as Airflow 2 does. ``answers`` go first, one a request: an Answer, or what is raised.

    With ``loses`` set it does what it is asked to, and its answer gets lost.
    """

    def __init__(self, address: str = HOST) -> None:
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.answers: list[Answer | Exception] = []
        self.loses = False
        self.client = Client(Host(address, Kind.AIRFLOW2, url=address), self)
        self._lock = Lock()

    def ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None
    ) -> Answer:
        with self._lock:
            self.asked.append((method, path))
            if self.answers:
                answer = self.answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            dag_id, *run_id = [unquote(part) for part in path.split("/")[2::2]]
            answer = self._start(dag_id, body or {}) if method == "POST" else self._get(dag_id, *run_id)
            if self.loses:
                raise Unavailable("no answer in time")
            return answer

    def _start(self, dag_id: str, body: Mapping[str, Any]) -> Answer:
        same_dag = [run for (dag, _), run in self.runs.items() if dag == dag_id]
        if any(
            run["dag_run_id"] == body["dag_run_id"] or run["logical_date"] == body["logical_date"]
            for run in same_dag
        ):
            return Answer(409, {"detail": f"DAGRun of {dag_id} already exists"})
        run = {"dag_id": dag_id, "state": "queued", **body}
        self.runs[dag_id, body["dag_run_id"]] = run
        return Answer(200, run)

    def _get(self, dag_id: str, run_id: str) -> Answer:
        run = self.runs.get((dag_id, run_id))
        if run is None:
            return Answer(404, {"detail": f"DAGRun with DAG ID: '{dag_id}' not found"})
        return Answer(200, run)
