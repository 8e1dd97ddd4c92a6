"""Whether all that the pipeline needs is there: what /readyz says.

Looks are made in threads of their own, each at most one at a time, and what they found is kept for some
seconds. So asking often costs no more than asking seldom, and a look that hangs says so.
What is told has no words of an exception in it: they may hold hosts, users or paths.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now

from harvest.models import Heartbeat

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = structlog.stdlib.get_logger(__name__)

#: Seconds that a finding is good for, and that /readyz waits for a new one.
KEEP_SECONDS = 5.0
PATIENCE_SECONDS = 3.0

OK, FAILED, UNKNOWN, OFF = "ok", "failed", "unknown", "off"


@dataclass(frozen=True)
class Finding:
    """What a look found out about one part."""

    state: str
    why: str = ""
    #: How old the sign is that it rests on; None where there is none.
    age: timedelta | None = timedelta(0)
    counts: Mapping[str, int] = field(default_factory=dict)


Findings = Mapping[str, Finding]


class Look:
    """Looks at some parts in the background."""

    def __init__(self, parts: Iterable[str], find: Callable[[], Findings]) -> None:
        self.parts = tuple(parts)
        self._find = find
        self._lock = threading.Lock()
        self._found: Findings = {}
        self._found_at = self._started_at = float("-inf")
        self._well_at: dict[str, float] = {}
        self._done = threading.Event()
        self._done.set()

    def start(self) -> None:
        """Look anew, unless that is being done, or was a moment ago."""
        with self._lock:
            if not self._done.is_set() or time.monotonic() - self._found_at < KEEP_SECONDS:
                return
            self._done.clear()
            self._started_at = time.monotonic()
        threading.Thread(target=self._run, name=f"look-{self.parts[0]}", daemon=True).start()

    def wait(self) -> None:
        """Wait for a look that is being made, but for one that hangs no more."""
        self._done.wait(max(0, self._started_at + PATIENCE_SECONDS - time.monotonic()))

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        """Return each part's state and, in seconds, how long ago it was well for the last time."""
        now = time.monotonic()
        hanging = None if self._done.is_set() else now - self._started_at
        report: dict[str, Mapping[str, Any]] = {}
        for part in self.parts:
            if hanging is None:
                finding = self._found[part]
            else:
                finding = Finding(FAILED, f"no answer for {hanging:.0f} s")
            well_at = self._well_at.get(part)
            report[part] = {
                "state": finding.state,
                "age": None if well_at is None else round(max(0.0, now - well_at), 1),
                **({"why": finding.why} if finding.why else {}),
                **finding.counts,
            }
        return report

    def _run(self) -> None:
        try:
            found = self._find()
        except Exception as error:
            logger.exception("readiness_unknown", parts=list(self.parts))
            found = {part: Finding(FAILED, type(error).__name__, None) for part in self.parts}
        now = time.monotonic()
        for part, finding in found.items():
            if finding.age is not None and (finding.state == OK or finding.age):
                self._well_at[part] = now - finding.age.total_seconds()
        self._found, self._found_at = found, now
        self._done.set()


class Readiness:
    """All looks that this process makes."""

    def __init__(self) -> None:
        self._parts = settings.READYZ_PARTS
        looks = (
            Look(("database", "migrations", *Heartbeat.Part.values), look_at_database),
            Look(("events_queue",), functools.partial(look_at_queue, "events_queue")),
            Look(("tasks_queue",), functools.partial(look_at_queue, "tasks_queue")),
        )
        self._looks = [look for look in looks if not set(look.parts).isdisjoint(self._parts)]

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the parts that are asked for, each with its state and age."""
        for look in self._looks:
            look.start()
        for look in self._looks:
            look.wait()
        reports = {part: said for look in self._looks for part, said in look.report().items()}
        return {part: reports[part] for part in self._parts}


def is_ready(report: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(part["state"] in (OK, OFF) for part in report.values())


def look_at_database() -> Findings:
    """Look at the database and at what it tells, on a connection that is made for that."""
    try:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except (DatabaseError, InterfaceError) as error:
            unknown = Finding(UNKNOWN, "the database does not answer", None)
            others = dict.fromkeys(("migrations", *Heartbeat.Part.values), unknown)
            return {"database": Finding(FAILED, type(error).__name__, None), **others}
        return {"database": Finding(OK), "migrations": _find_migrations(), **find_heartbeats()}
    finally:
        connection.close()


def _find_migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    return Finding(FAILED, f"{missing} not applied", None) if missing else Finding(OK)


def find_heartbeats() -> Findings:
    """Return how beat, workers and consumers are, each by its signs of life. Raises nothing."""
    try:
        rows = list(Heartbeat.objects.annotate(now=Now()).values_list("part", "at", "now"))
    except (DatabaseError, InterfaceError) as error:  # no such table, as long as migrations are missing
        unknown = Finding(UNKNOWN, type(error).__name__, None)
        return dict.fromkeys(Heartbeat.Part.values, unknown)
    return {
        part: _judge([now - at for name, at, now in rows if name == part])
        for part in Heartbeat.Part.values
    }


def _judge(ages: list[timedelta]) -> Finding:
    """Judge a part by its ages on all hosts: one that is alive is enough, the others are counted."""
    if not ages:
        return Finding(FAILED, "none has said that it is alive", None)
    silent = sum(age > settings.HEARTBEAT_STALE_AFTER for age in ages)
    counts = {"alive": len(ages) - silent, "silent": silent}
    age = max(min(ages), timedelta(0))
    if counts["alive"]:
        return Finding(OK, age=age, counts=counts)
    return Finding(FAILED, f"silent for {age.total_seconds():.0f} s", age, counts)


def look_at_queue(part: str) -> Findings:
    """Ask SQS for one of our queues."""
    urls = {
        "events_queue": settings.RIKOLTI_EVENTS_QUEUE_URL,
        "tasks_queue": settings.AVRAM_TASKS_QUEUE_URL,
    }
    if not urls[part]:
        return {part: Finding(OFF, "its URL is not set", None)}
    try:
        _sqs().get_queue_attributes(QueueUrl=urls[part], AttributeNames=["QueueArn"])
    except ClientError as error:
        return {part: Finding(FAILED, error.response.get("Error", {}).get("Code", "ClientError"), None)}
    except BotoCoreError as error:
        return {part: Finding(FAILED, type(error).__name__, None)}
    return {part: Finding(OK)}


_making = threading.Lock()


def _sqs() -> SQSClient:
    with _making:  # boto3's session is not made for several threads
        return _make_sqs()


@functools.cache
def _make_sqs() -> SQSClient:
    retries: Any = {"mode": "standard", "total_max_attempts": 1}
    return boto3.client("sqs", config=Config(connect_timeout=2, read_timeout=2, retries=retries))
