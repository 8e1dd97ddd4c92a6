"""A stand-in for Airflow: its REST API as far as we use it, 2 and 3, with faults to order.

The answers have the keys and the words of real ones (docs/airflow.md).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from harvest.airflow_api.hosts import Host, Kind, parse_hosts
from tests.sns_server import Answer, HttpServer, serve, serve_endlessly

USER, PASSWORD = "avram", "pässword s3cr3t"

#: Where PASSWORD is, for the hosts of this server.
PASSWORD_ENV = "STAND_IN_AIRFLOW_PASSWORD"

HTML = b"<!doctype html><title>Sign in</title>"


def say(status: int, detail: str = "", **headers: str) -> Answer:
    """Return an answer as Airflow gives it when something is wrong."""
    body = json.dumps({"status": status, "title": "no", "detail": detail, "type": "about:blank"})
    return serve(body.encode(), status, headers)


def serve_truncated(handler: BaseHTTPRequestHandler) -> None:
    """Break off in the middle."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"dag_id": "harvest')
    handler.close_connection = True


#: What may come instead of an answer, but for a hang and a redirect, and what our error says of it.
FAULTS: Mapping[str, tuple[Answer, str]] = {
    "401": (say(401, "Unauthorized"), "status 401"),
    "403": (say(403, "Forbidden"), "status 403: Forbidden"),
    "404 of a proxy": (serve(HTML, 404), "status 404 (not about the DAG"),
    "404 without API": (say(404, "Not Found"), "status 404: Not Found (not about the DAG"),
    "429": (say(429, "Too many", **{"Retry-After": "7200"}), "status 429"),
    "500": (serve(b"Internal Server Error", 500), "status 500"),
    "503": (say(503, "Restarting", **{"Retry-After": "soon"}), "status 503: Restarting"),
    "HTML": (serve(HTML), "can't be read: not JSON"),
    "100 MB": (serve_endlessly(b" " * 1024 * 1024), "too large"),
    "truncated": (serve_truncated, "can't be asked"),
    "invalid UTF-8": (serve(b'{"dag_id": "\xff"}'), "no UTF-8"),
    "another type": (serve(b"[]"), "not an object"),
    "empty": (serve(b""), "can't be read: not JSON"),
    "no keys": (serve(b"{}"), "can't be: dag_id is missing"),
    "deep": (serve(b"[" * 10_000), "deeper than"),
}


class AirflowServer:
    """Knows the runs in ``runs``, by DAG and run id, and answers for a run what ``faults`` has for its
    id; that under "*" is for every request. ``faults_of_page`` has what comes instead of a page, by the
    number of items before it.

    ``requests`` has method and path of each, ``asked`` how often a run was asked for.
    """

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.faults: dict[str, Answer] = {}
        self.faults_of_page: dict[int, Answer] = {}
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.page = 100
        self._server = HttpServer(self._answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.end()

    def hosts(self, kind: Kind = Kind.AIRFLOW2, address: str = "") -> dict[str, Host]:
        """Return the configuration that asks this server, under its own or another address."""
        return parse_hosts(self.variable(kind, address), debug=True)

    def variable(self, kind: Kind = Kind.AIRFLOW2, address: str = "") -> str:
        """Return the same as AIRFLOW_HOSTS. The password must be in the environment."""
        keys = {"kind": kind, "url": self.url, "username": USER, "password_env": PASSWORD_ENV}
        return json.dumps({address or self.url: keys})

    def add(self, dag_run_id: str, state: str = "success", **keys: Any) -> dict[str, Any]:
        """Let Airflow know a run."""
        run = {
            "conf": {"collection_id": "27551"},
            "dag_id": "harvest_collection",
            "dag_run_id": dag_run_id,
            "data_interval_end": "2026-11-24T05:21:34+00:00",
            "end_date": None if state in ("queued", "running") else "2026-11-24T05:41:00.5+00:00",
            "external_trigger": True,
            "logical_date": "2026-11-24T05:21:34+00:00",
            "note": None,
            "run_type": "manual",
            "start_date": None if state == "queued" else "2026-11-24T05:21:35.123456+00:00",
            "state": state,
            **keys,
        }
        self.runs[run["dag_id"], dag_run_id] = run
        return run

    def asked(self, dag_run_id: str) -> int:
        return sum(request.endswith(f"/dagRuns/{dag_run_id}") for request in self.requests)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        parts = [unquote(part) for part in path.strip("/").split("/")]
        self.requests.append(f"{handler.command} {unquote(handler.path)}")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.faults.get(parts[-1]) or self.faults.get("*")
        if fault is not None:
            fault(handler)
        elif parts == ["auth", "token"]:
            self._log_in(handler, json.loads(body))
        elif parts[:2] in (["api", "v1"], ["api", "v2"]):
            if self._knows(handler, parts[1]):
                self._answer_api(handler, parts[2:], body)
            else:
                say(401, "Unauthorized")(handler)
        else:
            serve(HTML, 404)(handler)

    def _knows(self, handler: BaseHTTPRequestHandler, version: str) -> bool:
        scheme, _, credentials = handler.headers.get("Authorization", "").partition(" ")
        if version == "v2":
            return scheme == "Bearer" and credentials in self.tokens
        return scheme == "Basic" and base64.b64decode(credentials).decode() == f"{USER}:{PASSWORD}"

    def _log_in(self, handler: BaseHTTPRequestHandler, credentials: Any) -> None:
        if credentials != {"username": USER, "password": PASSWORD}:
            say(401, f"Invalid credentials {credentials}")(handler)
            return
        token = uuid4().hex
        self.tokens.add(token)
        _json({"access_token": token}, 201)(handler)

    def _answer_api(self, handler: BaseHTTPRequestHandler, parts: list[str], body: bytes) -> None:
        dag_id = parts[1]
        match parts[2:]:
            case ["dagRuns"] if handler.command == "POST":
                self._trigger(handler, dag_id, json.loads(body))
            case ["dagRuns"]:
                self._list(handler, dag_id)
            case ["dagRuns", dag_run_id] if (dag_id, dag_run_id) in self.runs:
                _json(self.runs[dag_id, dag_run_id])(handler)
            case ["dagRuns", dag_run_id, "taskInstances"] if (dag_id, dag_run_id) in self.runs:
                tasks = self.runs[dag_id, dag_run_id].get("tasks", [])
                self._page(handler, "task_instances", tasks)
            case _:
                found = f"DAGRun with DAG ID: '{dag_id}' and DagRun ID: '{parts[-1]}' not found"
                say(404, found)(handler)

    def _trigger(self, handler: BaseHTTPRequestHandler, dag_id: str, body: dict[str, Any]) -> None:
        if (dag_id, body["dag_run_id"]) in self.runs:
            say(409, f"DAGRun with DAG ID: '{dag_id}' already exists")(handler)
        else:
            _json(self.add(**body, state="queued", dag_id=dag_id))(handler)

    def _list(self, handler: BaseHTTPRequestHandler, dag_id: str) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        date = query["order_by"][0]
        since, until = query[f"{date}_gte"][0], query[f"{date}_lte"][0]
        runs = [
            run
            for run in self.runs.values()
            if run["dag_id"] == dag_id and run[date] and since <= run[date] <= until
        ]
        self._page(handler, "dag_runs", sorted(runs, key=lambda run: run[date]))

    def _page(self, handler: BaseHTTPRequestHandler, key: str, items: list[Any]) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        offset, limit = int(query["offset"][0]), min(int(query["limit"][0]), self.page)
        page = _json({key: items[offset : offset + limit], "total_entries": len(items)})
        self.faults_of_page.get(offset, page)(handler)


def _json(data: Any, status: int = 200) -> Answer:
    return serve(json.dumps(data).encode(), status, {"Content-Type": "application/json"})
