"""Airflow's answers: from the status and JSON of one to what was asked for.

The same for all versions: the keys that are read have the same names in ``/api/v1`` and ``/api/v2``.
Source: Airflow's OpenAPI of 2.10 and 3.0, and answers seen from both (docs/airflow.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from harvest import limits
from harvest.airflow import decode_conf
from harvest.airflow_api.errors import AirflowError, AlreadyExists, NotFound, Refused, Unavailable
from harvest.errors import MalformedMessage, excerpt
from harvest.sns import json_type, read_date, read_string, read_text

#: Statuses that heal, besides 5xx.
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: ``data`` is its JSON, None where it has none."""

    status: int
    data: Any = field(default=None, repr=False)
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A DAG run as Airflow tells it. Dates are aware, in UTC; ``state`` is Airflow's own word."""

    dag_id: str
    dag_run_id: str
    state: str
    logical_date: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    conf: Any = field(repr=False)
    note: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """A task of a run, at its newest try. ``map_index`` is -1 where it is not mapped, ``state`` is
    "" while it has none."""

    task_id: str
    map_index: int
    try_number: int
    state: str
    start_date: datetime | None
    end_date: datetime | None


def checked(answer: Answer, dag_id: str) -> Mapping[str, Any]:
    """Return the object of an answer to a question about a DAG.

    Raises:
        AirflowError: the answer is no good one; which subclass says why.
    """
    if not 200 <= answer.status < 300:
        raise _error(answer, dag_id)
    if not isinstance(answer.data, dict):
        raise Unavailable(f"answered a JSON {json_type(answer.data)}, not an object")
    return answer.data


def read_run(data: Any) -> AirflowRun:
    """Read one DAG run.

    Raises:
        Unavailable: it is none that Airflow would tell of.
    """
    with _telling_of("run", data):
        return AirflowRun(
            dag_id=read_string(data, "dag_id", limits.MAX_ID),
            dag_run_id=read_string(data, "dag_run_id", limits.MAX_ID),
            state=read_string(data, "state", limits.MAX_STATE),
            logical_date=_date(data, "logical_date"),
            start_date=_date(data, "start_date"),
            end_date=_date(data, "end_date"),
            conf=decode_conf(data.get("conf")),
            note=read_text(data, "note")[: limits.MAX_NOTE] if data.get("note") else "",
        )


def read_task_instance(data: Any) -> TaskInstance:
    """Read one task instance.

    Raises:
        Unavailable: it is none that Airflow would tell of.
    """
    with _telling_of("task", data):
        return TaskInstance(
            task_id=read_string(data, "task_id", limits.MAX_ID),
            map_index=_integer(data, "map_index", -1),
            try_number=_integer(data, "try_number", 0),
            state=read_string(data, "state", limits.MAX_STATE) if data.get("state") else "",
            start_date=_date(data, "start_date"),
            end_date=_date(data, "end_date"),
        )


@contextmanager
def _telling_of(what: str, data: Any) -> Iterator[None]:
    """Read an object in the block: what is malformed in it makes the whole answer none."""
    if not isinstance(data, dict):
        raise Unavailable(f"answered a JSON {json_type(data)} for a {what}, not an object")
    try:
        yield
    except MalformedMessage as error:
        raise Unavailable(f"told of a {what} that can't be: {error}") from None


def read_page(data: Mapping[str, Any], key: str) -> tuple[list[Any], int]:
    """Return the items of one page, and how many there are on all pages.

    Raises:
        Unavailable: the answer is no page.
    """
    items = data.get(key)
    if not isinstance(items, list):
        raise Unavailable(f"answered a page without {key}")
    return items, _integer(data, "total_entries", len(items))


def _error(answer: Answer, dag_id: str) -> AirflowError:
    status, said = answer.status, _detail(answer.data)
    why = f"status {status}{f': {said}' if said else ''}"
    if 300 <= status < 400:
        return Unavailable(f"status {status}: redirects elsewhere, which is not followed")
    if status in _BUSY or status >= 500:
        return Unavailable(why, answer.retry_after)
    if status == HTTPStatus.NOT_FOUND:
        # Anything before Airflow says 404, too, and so does Airflow where the API is not: only an answer
        # that names the DAG is about the run.
        about_it = "not found" in said.lower() and dag_id in said
        return (
            NotFound(said) if about_it else Unavailable(f"{why} (not about the DAG: is the URL right?)")
        )
    if status == HTTPStatus.CONFLICT:
        return AlreadyExists(why)
    return Refused(why)


def _detail(data: Any) -> str:
    """Return what an error says, in one line: ``detail`` or ``title``, where they are text."""
    if not isinstance(data, dict):
        return ""
    said = next((data[key] for key in ("detail", "title") if isinstance(data.get(key), str)), "")
    return " ".join(said.split())[: limits.MAX_REASON]


def _date(data: Mapping[str, Any], key: str) -> datetime | None:
    return None if data.get(key) is None else read_date(data, key)


def _integer(data: Mapping[str, Any], key: str, default: int) -> int:
    value = data.get(key, default)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > limits.MAX_INTEGER:
        raise Unavailable(f"told of {key} {excerpt(value)}, which is no integer of ours")
    return value
