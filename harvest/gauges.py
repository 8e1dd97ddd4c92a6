"""How it all stands, read from the tables when Prometheus asks: queues, runs, what waits, who is alive.

One process tells it, the web. The number of queries is the same however many runs there are, each is
answered by an index and counts no further than it must, and what was read is good for some seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from math import inf
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from harvest.models import (
    HarvestEvent,
    HarvestRun,
    Heartbeat,
    Notice,
    QueueReading,
    Redrive,
    RejectedMessage,
    RunChange,
)

logger = structlog.stdlib.get_logger(__name__)

#: Counts stop here: that there are more says enough, and an endless one would take for ever.
MOST_COUNTED = 10_000

#: Readings among which the newest of each queue is found: ten rounds of four queues.
RECENT_READINGS = 40

#: Seconds that a reading is good for, and that a scrape waits for a new one.
KEEP_SECONDS = 5.0
PATIENCE_SECONDS = 3.0

DATABASE_UP = ("avram_database_up", "Whether the database answered: 1 or 0.")

#: What is read: its words, and its labels.
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "avram_runs": (f"Runs by status, {MOST_COUNTED} standing for that and more.", ("status",)),
    "avram_runs_stale": ("Running runs that have been silent for too long.", ()),
    "avram_runs_lost": ("Runs that Airflow does not know.", ()),
    "avram_run_longest_silence_seconds": (
        "For how long the running run that was heard of least lately has been silent.",
        (),
    ),
    "avram_newest_event_age_seconds": (
        "Since SNS's timestamp of the newest event; nothing where there is none.",
        (),
    ),
    "avram_rejected_messages_waiting": ("Rejected messages that nobody has replayed.", ()),
    "avram_notices_waiting": ("Notices that were not sent yet.", ()),
    "avram_run_changes_waiting": ("Changes of runs of which it is not decided who is told.", ()),
    "avram_notice_longest_overdue_seconds": (
        "For how long the notice that should have been sent first has been due.",
        (),
    ),
    "avram_run_change_longest_wait_seconds": (
        "How long ago the oldest change was of which it is not decided who is told.",
        (),
    ),
    "avram_queue_messages": (
        "Messages on a queue at the last reading.",
        ("queue", "role", "state"),
    ),
    "avram_queue_oldest_message_age_seconds": (
        "Age of the oldest message that was seen; nothing where that is not known.",
        ("queue", "role"),
    ),
    "avram_queue_reading_age_seconds": ("Age of the last reading; infinite without one.", ("role",)),
    "avram_heartbeat_age_seconds": (
        "Since the last sign of life of any such process; infinite without one.",
        ("part",),
    ),
    "avram_processes": ("Processes that gave a sign of life within a day.", ("part", "state")),
}

Families = Mapping[str, GaugeMetricFamily]


class TableCollector(Collector):
    """Tells the gauges, as they were read a moment ago; of a database that is away, only that it is."""

    def __init__(self, read: Callable[[], Families] | None = None) -> None:
        self._read = read or read_tables
        self._lock = threading.Lock()
        self._reading: Future[Families] | None = None
        self._begun_at = 0.0

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [GaugeMetricFamily(*DATABASE_UP), *empty_families().values()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        begun_at, reading = self._begin()
        try:
            patience = begun_at + PATIENCE_SECONDS - time.monotonic()
            families = reading.result(max(0.0, patience))
        except Exception as error:  # whatever a database can do, and a reading that takes too long
            # Its text may tell of hosts and users.
            logger.warning("metrics_of_tables_unreadable", error=type(error).__name__)
            families = {}
        yield GaugeMetricFamily(*DATABASE_UP, value=1 if families else 0)
        yield from families.values()

    def _begin(self) -> tuple[float, Future[Families]]:
        """Return a reading: the last, unless it is done and was begun too long ago."""
        with self._lock:
            old = time.monotonic() - self._begun_at > KEEP_SECONDS
            if self._reading is None or (self._reading.done() and old):
                self._begun_at, self._reading = time.monotonic(), Future()
                # In a thread, since a database that is silent can't be waited for with patience.
                arguments = (self._reading,)
                threading.Thread(target=self._run, args=arguments, name="gauges", daemon=True).start()
            return self._begun_at, self._reading

    def _run(self, reading: Future[Families]) -> None:
        try:
            reading.set_result(self._read())
        except Exception as error:
            reading.set_exception(error)
        finally:
            connection.close()


def empty_families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()
    }


def read_tables() -> Families:
    """Read all gauges.

    Raises:
        Error of the database: it is away, or its migrations are missing.
    """
    families = empty_families()

    def tell(name: str, value: float, *labels: str) -> None:
        families[name].add_metric(labels, value)

    runs = HarvestRun.objects
    for status in HarvestRun.Status:
        tell("avram_runs", _count(runs.filter(status=status)), status)
    running = runs.filter(status=HarvestRun.Status.RUNNING)
    tell("avram_runs_stale", _count(running.filter(stale_since__isnull=False)))
    tell("avram_runs_lost", _count(runs.filter(lost_since__isnull=False)))
    tell("avram_run_longest_silence_seconds", _age(_first(running, "last_heard_at")))
    newest = _first(HarvestEvent.objects.all(), "sns_timestamp", "-sns_timestamp")
    if newest:
        tell("avram_newest_event_age_seconds", _age(newest))
    tell("avram_rejected_messages_waiting", _count(RejectedMessage.objects.filter(replayed_at=None)))
    notices = Notice.objects.filter(state=Notice.State.WAITING)
    tell("avram_notices_waiting", _count(notices))
    tell("avram_notice_longest_overdue_seconds", _age(_first(notices, "due_at")))
    changes = RunChange.objects.filter(considered_at=None)
    tell("avram_run_changes_waiting", _count(changes))
    tell("avram_run_change_longest_wait_seconds", _age(_first(changes, "changed_at")))
    _read_queues(tell)
    _read_heartbeats(tell)
    return families


def _read_queues(tell: Callable[..., None]) -> None:
    now = timezone.now()
    newest: dict[str, QueueReading] = {}
    for reading in QueueReading.objects.order_by("-read_at")[:RECENT_READINGS]:
        newest.setdefault(reading.queue, reading)
    ages: dict[str, list[float]] = {"queue": [], "dead_letters": []}
    for queue, reading in newest.items():
        role = "dead_letters" if reading.source else "queue"
        ages[role].append(_seconds(now - reading.read_at))
        tell("avram_queue_messages", reading.visible, queue, role, "waiting")
        tell("avram_queue_messages", reading.in_flight, queue, role, "in_flight")
        if reading.oldest_at is not None:
            age = _seconds(now - reading.oldest_at)
            tell("avram_queue_oldest_message_age_seconds", age, queue, role)
        elif not reading.visible:
            tell("avram_queue_oldest_message_age_seconds", 0, queue, role)
    for role, of_role in ages.items():
        # Of each role there are as many queues as there are kinds: one that is missing was not read.
        complete = len(of_role) >= len(Redrive.Kind)
        tell("avram_queue_reading_age_seconds", max(of_role) if complete else inf, role)


def _read_heartbeats(tell: Callable[..., None]) -> None:
    rows = list(Heartbeat.objects.annotate(now=Now()).values_list("part", "at", "now"))
    for part in Heartbeat.Part:
        ages = [now - at for name, at, now in rows if name == part]
        alive = sum(age <= settings.HEARTBEAT_STALE_AFTER for age in ages)
        tell("avram_heartbeat_age_seconds", min(map(_seconds, ages), default=inf), part)
        tell("avram_processes", alive, part, "alive")
        tell("avram_processes", len(ages) - alive, part, "silent")


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by().values("pk")[:MOST_COUNTED].count()


def _first(rows: QuerySet[Any], column: str, order: str = "") -> datetime | None:
    """Return the time of the first row, where there is one."""
    found: datetime | None = rows.order_by(order or column).values_list(column, flat=True).first()
    return found


def _age(at: datetime | None) -> float:
    """Return the seconds since then; none where there is no such time."""
    return _seconds(timezone.now() - at) if at else 0.0


def _seconds(age: timedelta) -> float:
    """A clock that is ahead makes nothing younger than new."""
    return max(0.0, age.total_seconds())
