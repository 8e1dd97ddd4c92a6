"""What is counted for Prometheus: every counter and histogram, and the two ways to count.

docs/metrics.md is the same list with words; a test holds the two together. What is in the tables is not
counted but read: see ``harvest.gauges``.

Labels have few values, all of them ours: never an id, a host or a text that came from outside.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, values

from harvest import metricfiles
from harvest.errors import Malformed

logger = structlog.stdlib.get_logger(__name__)

#: Where the processes of this web or worker count together; None where each counts for itself.
FOLDER = Path(os.environ[metricfiles.VARIABLE]) if metricfiles.VARIABLE in os.environ else None

_counting = True
#: Held while something is counted, and at a fork: a child must inherit no lock of the client's that
#: another thread holds. It would wait for it for ever.
_lock = threading.Lock()


def _begin() -> bool:
    """Make this process ready to count. Return whether it is."""
    try:
        if FOLDER is not None:
            metricfiles.reserve(FOLDER)
    except OSError as error:
        logger.warning("metrics_off", error=str(error))
        return False
    return True


def _begin_in_child() -> None:
    global _counting
    _lock.release()
    _counting = _begin()


if not _begin():
    values.ValueClass = values.MutexValue  # in memory, for nobody
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_in_child)
disable_created_metrics()  # when a counter was made: files of several processes can't tell

REGISTRY = CollectorRegistry()


def _counter(name: str, text: str, **labels: Iterable[str]) -> Counter:
    """Make a counter, with all values of its only label there from the beginning: Prometheus sees no
    growth of what was not there before. Where the values are not known here, they are none."""
    counter = Counter(name, text, list(labels), registry=REGISTRY)
    for label, known in labels.items():
        for value in known:
            counter.labels(**{label: value})
    return counter


# --- From the raw queue to the tables -------------------------------------------------------------

MESSAGES_RECEIVED = _counter(
    "avram_events_received", "Raw messages received, those that SQS delivered again among them."
)
RECEIVE_FAILURES = _counter(
    "avram_receive_failures", "Times that a consumer could not take messages, and waited."
)
CHAINS_PUBLISHED = _counter("avram_chains_published", "Chains of tasks put on the task queue.")
PUBLISH_FAILURES = _counter(
    "avram_publish_failures", "Chains that could not be put on the task queue; each is tried again."
)
EVENTS_RECORDED = _counter("avram_events_recorded", "Events stored.")
EVENTS_DUPLICATE = _counter(
    "avram_events_duplicate",
    "Events that were stored already: copies, and what a task did again.",
)
MESSAGES_REJECTED = _counter(
    "avram_messages_rejected",
    "Messages set aside, copies and replays among them.",
    reason=(*(reason.value for reason in Malformed), "fault"),
)
EVENT_LAG = Histogram(
    "avram_event_lag_seconds",
    "From SNS's timestamp of an event to when it was stored.",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600),
    registry=REGISTRY,
)

# --- Tasks and what they do -----------------------------------------------------------------------

OUTCOMES = ("succeeded", "retried", "failed")
TASKS = Counter(  # whose tasks a worker names when it starts
    "avram_tasks",
    "Attempts at tasks, by how they ended: succeeded, retried or failed.",
    ["task", "outcome"],
    registry=REGISTRY,
)
RUN_CHANGES = _counter(
    "avram_run_changes",
    "What became of runs, by whomever it was decided.",
    kind=("running", "succeeded", "failed", "stale", "lost"),
)
SWEEPS = _counter("avram_sweeps", "Sweeps that found which runs need a look.")
SWEEP_LOOKS = _counter(
    "avram_sweep_looks",
    "Runs that a sweep looked at, by what came of it.",
    result=("settled", "stale", "answered", "not_found", "no_answer", "gone"),
)
BACKFILLED_RUNS = _counter(
    "avram_backfilled_runs",
    "Runs that Airflow listed, by whether they were known.",
    result=("known", "made"),
)
SILENT_RUNS = _counter(
    "avram_silent_runs", "Runs that ended, as Airflow says, and of which no event had come."
)
AIRFLOW_REQUESTS = _counter(
    "avram_airflow_requests",
    "Requests to Airflow, by what came of them.",
    outcome=("ok", "not_found", "already_exists", "refused", "unavailable"),
)
TRIGGERS = _counter(
    "avram_triggers",
    "Runs that people started, by what Airflow made of it.",
    state=("accepted", "refused", "absent", "unknown"),
)
NOTICES = _counter(
    "avram_notices",
    "Attempts to send a notice, by how they ended.",
    outcome=("sent", "failed", "given_up"),
)
MONITOR_FAILURES = _counter(
    "avram_monitor_failures", "Times that a worker could not reach the monitoring broker."
)


def begin_tasks(names: Iterable[str]) -> None:
    """Begin to count tasks of these names, each outcome at 0, as :func:`add` counts."""
    if not _counting:
        return
    try:
        with _lock:
            for name in names:
                for outcome in OUTCOMES:
                    TASKS.labels(task=name, outcome=outcome)
    except (OSError, ValueError) as error:
        logger.warning("metric_not_counted", error=str(error))


def add(counter: Counter, amount: float = 1, **labels: str) -> None:
    """Count. From any thread; what can't be counted is not, and stops nothing else."""
    if not _counting or not amount:
        return
    try:
        with _lock:
            (counter.labels(**labels) if labels else counter).inc(amount)
    except (OSError, ValueError) as error:
        logger.warning("metric_not_counted", error=str(error))


def observe(histogram: Histogram, amounts: Iterable[float]) -> None:
    """Count several amounts at once, as :func:`add` does."""
    if not _counting:
        return
    try:
        with _lock:
            for amount in amounts:
                histogram.observe(amount)
    except (OSError, ValueError) as error:
        logger.warning("metric_not_counted", error=str(error))
