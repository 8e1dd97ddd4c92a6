"""What Airflow and Rikolti say: SNS notification → event of a DAG run.

The only pure module that knows Airflow's and Rikolti's words; the addresses of Airflow's pages are in
:mod:`harvest.airflowpages`. Source of the rules: Rikolti's publisher, and messages seen from a real
Airflow 2.6 (docs/message-contract.md).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from harvest import limits
from harvest.errors import Malformed, MalformedMessage, excerpt
from harvest.sns import Notification, json_type, read_date, read_string
from harvest.strictjson import read_json

#: The mark of a message about the DAG run as a whole.
DAG_COMPLETE = "dag_complete"
ERROR = "error"

#: Rikolti's DAGs. Source: the message contract (docs/message-contract.md).
DAG_IDS = (
    "harvest_collection",
    "publish_collection",
    "unpublish_collection",
    "validate_by_mapper_type",
    "index_manual_edits",
)

_VERSIONS = ("1.0", 1.0)

#: The DAGs that a person starts for a collection. Those that change what is published stand in a conf's
#: ``version``, or take it away.
HARVEST = "harvest_collection"
PUBLISH = "publish_collection"
UNPUBLISH = "unpublish_collection"

#: The versions of a collection's data, one made of the other, are folders in each other. Pages of one
#: lie in its folder ``data``.
_VERSION_PATH = re.compile(
    r"[0-9]{1,10}/vernacular_metadata_[\w.:+-]+(?:/(?!data\b)[\w.:+-]+)*/?", re.ASCII
)

#: What the repr of plain data is made of. Python's parser gets to see nothing else: of what it finds
#: odd in a text it warns on stderr, once for each place, and quotes it.
_PYTHON_DATA = re.compile(
    r"""(?:
        [\s{}\[\](),:+-]++
      | '(?:[^'\\\n]|\\[\\'"nrtxuU])*+'
      | "(?:[^"\\\n]|\\[\\'"nrtxuU])*+"
      | (?<![\w.])(?:True|False|None|[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?)(?![\w.])
    )*+""",
    re.VERBOSE,
)


class Outcome(StrEnum):
    """What one event, or all events of a run, say of the run."""

    #: Anything that is no end: an event cannot be sent by a run that is not running.
    RUNNING = "running"
    #: The run said that it is complete.
    SUCCEEDED = "succeeded"
    #: A task failed for good, or the run said that it did.
    FAILED = "failed"


def outcome_of_state(state: str) -> Outcome:
    """Return what Airflow's word for the state of a run says. One that is no end is "running"."""
    return _OUTCOMES.get(state, Outcome.RUNNING)


_OUTCOMES = {"success": Outcome.SUCCEEDED, "failed": Outcome.FAILED}


class RunKey(NamedTuple):
    """What tells one DAG run from all others. ``host`` is "" where the publisher did not say."""

    host: str
    dag_id: str
    dag_run_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a DAG run, whole and typed.

    ``task_id``, ``try_number`` and ``map_index`` are None for events of the run as a whole.
    ``collection_id`` is the one that ``dag_run_conf`` names, if it does. Dates are aware, in UTC.
    """

    message_id: str
    sns_timestamp: datetime
    key: RunKey
    logical_date: datetime
    dag_run_conf: Any = field(repr=False)
    collection_id: int | None
    task_id: str | None
    try_number: int | None
    map_index: int | None
    rikolti_message: Any = field(repr=False)
    #: That of the collection's data which the task made, or "".
    version: str
    dag_level: bool
    error: bool
    outcome: Outcome
    envelope: Mapping[str, Any] = field(repr=False)


def parse_event(notification: Notification) -> Event:
    """Read a notification's content as an Airflow event.

    Raises:
        MalformedMessage: a required key is missing, or one has a type or value that can't be meant.
    """
    content = notification.content
    _check_version(content.get("version"))
    rikolti_message = _decode_message(content.get("rikolti_message"))
    dag_level = isinstance(rikolti_message, dict) and DAG_COMPLETE in rikolti_message
    dag_run_conf = decode_conf(content.get("dag_run_conf"))
    error = _has_error(rikolti_message)
    return Event(
        message_id=notification.message_id,
        sns_timestamp=notification.published_at,
        key=RunKey(
            host=_read_host(content),
            dag_id=read_string(content, "dag_id", limits.MAX_ID),
            dag_run_id=read_string(content, "dag_run_id", limits.MAX_ID),
        ),
        logical_date=read_date(content, "logical_date"),
        dag_run_conf=dag_run_conf,
        collection_id=find_collection_id(dag_run_conf),
        # Dag-level messages carry these of some unrelated task of the run.
        task_id=None if dag_level else _read_task_id(content),
        try_number=None if dag_level else _read_integer(content, "try_number"),
        map_index=None if dag_level else _read_integer(content, "map_index"),
        rikolti_message=rikolti_message,
        version=find_version(rikolti_message),
        dag_level=dag_level,
        error=error,
        outcome=_decide_outcome(rikolti_message, dag_level=dag_level, error=error),
        envelope=notification.envelope,
    )


def decode_conf(conf: Any) -> Any:
    """Return a DAG run's conf as data: {} for null, a str decoded from JSON or from a Python repr.

    A str that is neither stays the str that it is.
    """
    data = _decode_text(conf) if isinstance(conf, str) else conf
    return {} if data is None or data == "" else data


def _decode_text(text: str) -> Any:
    try:
        return read_json(text)
    except MalformedMessage:
        pass
    if len(text) > limits.MAX_REPR or not _PYTHON_DATA.fullmatch(text):
        return text
    try:
        return read_json(json.dumps(ast.literal_eval(text)))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, MalformedMessage):
        return text


def find_collection_id(conf: Any) -> int | None:
    """Return the id of the collection that a conf names, or None."""
    value = conf.get("collection_id") if isinstance(conf, dict) else None
    if isinstance(value, str):
        # int() knows fewer spaces than strip(), and digits of other scripts.
        digits = value.strip()
        fits = digits.isascii() and digits.isdigit() and len(digits) <= len(str(limits.MAX_INTEGER))
        value = int(digits) if fits else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= limits.MAX_INTEGER:
        return value
    return None


def find_version(message: Any) -> str:
    """Return the version of a collection's data that a task says it made, or "".

    Rikolti tells it as ``{"vernacular_version": …}`` and the like, or as the bare path.
    """
    told = [message]
    if isinstance(message, dict):
        told = [value for key, value in message.items() if key.endswith("_version")]
    found = (
        path
        for path in told
        if isinstance(path, str) and len(path) <= limits.MAX_VERSION and _VERSION_PATH.fullmatch(path)
    )
    return max(found, key=lambda path: (path.count("/"), path), default="")


def find_target_version(dag_id: str, conf: Any) -> str | None:
    """Return the version that a run puts into production, "" where it takes away what is there.

    None: it does neither, or does not say which.
    """
    if dag_id == UNPUBLISH:
        return ""
    version = conf.get("version") if dag_id == PUBLISH and isinstance(conf, dict) else None
    if isinstance(version, str) and 0 < len(version.strip()) <= limits.MAX_VERSION:
        return version.strip()
    return None


def make_conf(dag_id: str, collection_id: int, version: str = "") -> dict[str, str]:
    """Return the conf with which a run of a DAG is started for a collection, as Rikolti reads it."""
    conf = {"collection_id": str(collection_id)}
    return conf if dag_id == HARVEST else {**conf, "version": version}


def _check_version(version: Any) -> None:
    # A message without one comes from an old publisher.
    if version is not None and (isinstance(version, bool) or version not in _VERSIONS):
        raise MalformedMessage(
            Malformed.UNKNOWN_VERSION, f"version {excerpt(version)}, not 1.0", path=("version",)
        )


def _decode_message(message: Any) -> Any:
    """A str is decoded when it is JSON of an object or an array, else kept as the str that it is."""
    if not isinstance(message, str) or not message.lstrip().startswith(("{", "[")):
        return message
    try:
        return read_json(message)
    except MalformedMessage:
        return message


def _has_error(message: Any) -> bool:
    """Only a key of an object counts: ``"error" in message`` would find it in any text."""
    if not isinstance(message, dict):
        return False
    return message.get(ERROR) is not None and message[ERROR] is not False


def _decide_outcome(message: Any, *, dag_level: bool, error: bool) -> Outcome:
    if error or (dag_level and message[DAG_COMPLETE] is False):
        return Outcome.FAILED
    if dag_level and message[DAG_COMPLETE] is True:
        return Outcome.SUCCEEDED
    return Outcome.RUNNING


def _read_host(content: Mapping[str, Any]) -> str:
    if content.get("host") is None or content["host"] == "":
        return ""
    host = read_string(content, "host", limits.MAX_HOST)
    if not host.isascii():
        raise MalformedMessage(
            Malformed.BAD_STRING, "host has characters that no address has", path=("host",)
        )
    return host.strip().rstrip("/")


def _read_task_id(content: Mapping[str, Any]) -> str | None:
    if content.get("task_id") is None or content["task_id"] == "":
        return None
    return read_string(content, "task_id", limits.MAX_ID)


def _read_integer(content: Mapping[str, Any], key: str) -> int | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedMessage(
            Malformed.WRONG_TYPE, f"{key} is a {json_type(value)}, not an integer", path=(key,)
        )
    if abs(value) > limits.MAX_INTEGER:
        raise MalformedMessage(Malformed.WRONG_TYPE, f"{key} is out of range: {value}", path=(key,))
    return value
