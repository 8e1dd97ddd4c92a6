"""Counts what became of what was sent. A second implementation: nothing here is the pipeline's.

What was sent is read by a few lines of its own, by the rules of docs/message-contract.md; what was
stored is read in plain SQL; queues are asked by boto3.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

#: host, DAG and run id.
Run = tuple[str, str, str]
Rows = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Expected:
    """What must come of the bodies that were sent."""

    events: dict[str, Run]
    statuses: dict[Run, str]
    rejected: Counter[str]


@dataclass(frozen=True)
class Count:
    """What came of them; each list names what is not as it should be."""

    sent: int
    stored: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    wrong_status: list[str] = field(default_factory=list)
    lost_rejected: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        lists = (self.lost, self.doubled, self.misplaced, self.wrong_status, self.lost_rejected)
        return not any(lists)


def expect(bodies: Iterable[str], hostile: Collection[str]) -> Expected:
    """Read what was sent. ``hostile`` are the bodies that can't be understood."""
    published = {}
    for body in bodies:
        if body not in hostile:
            envelope = json.loads(body)
            published[envelope["MessageId"]] = (envelope["Timestamp"], json.loads(envelope["Message"]))

    hosts = defaultdict(set)
    for _, event in published.values():
        hosts[event["dag_id"], event["dag_run_id"]].add(event.get("host", ""))

    events: dict[str, Run] = {}
    by_run: dict[Run, list[tuple[str, bool, str, str]]] = defaultdict(list)
    for message_id, (timestamp, event) in published.items():
        name = (event["dag_id"], event["dag_run_id"])
        named = hosts[name] - {""}
        # Who names no host belongs to the only host that there is.
        host = event.get("host") or (next(iter(named)) if len(named) == 1 else "")
        message = _decode(event["rikolti_message"])
        events[message_id] = run = (host, *name)
        dag_level = isinstance(message, dict) and "dag_complete" in message
        status = status_of(event["rikolti_message"])
        by_run[run].append((timestamp, dag_level, message_id, status))
    statuses = {run: max(of_run)[-1] for run, of_run in by_run.items()}
    return Expected(events, statuses, Counter(hostile))


def count(expected: Expected, rows: Rows) -> Count:
    """Hold the tables against what was sent. ``rows`` runs a query."""
    stored = rows(
        "SELECT message_id, run.host, dag_id, dag_run_id FROM harvest_harvestevent AS event "
        "LEFT JOIN harvest_harvestrun AS run ON run.id = event.harvest_run_id"
    )
    runs = rows(
        "SELECT host, dag_id, dag_run_id, status, stale_since, recompute_due_at FROM harvest_harvestrun"
    )
    rejected = Counter(
        json.loads(body) if encoding == "json" else body
        for body, encoding in rows("SELECT body, body_encoding FROM harvest_rejectedmessage")
    )
    times_stored = Counter(message_id for message_id, *_ in stored)
    times_run = Counter(run[:3] for run in runs)
    told = {run[:3]: run[3:] for run in runs}
    should_be = {run: (status, None, None) for run, status in expected.statuses.items()}
    return Count(
        sent=len(expected.events),
        stored=len(times_stored),
        lost=sorted(expected.events.keys() - times_stored.keys()),
        doubled=[
            *(str(key) for times in (times_stored, times_run) for key, n in times.items() if n > 1),
            *(body[:80] for body in rejected - expected.rejected),
        ],
        misplaced=[
            f"{message_id} is of {expected.events.get(message_id)}, stored with {run}"
            for message_id, *run in stored
            if expected.events.get(message_id) != tuple(run)
        ],
        wrong_status=[
            f"{run} should be {should_be.get(run)}, is {told.get(run)}"
            for run in should_be.keys() | told.keys()
            if should_be.get(run) != told.get(run)
        ],
        lost_rejected=[body[:80] for body in expected.rejected - rejected],
    )


def depths(sqs: Any) -> dict[str, int]:
    """Return how many messages each queue holds: waiting, received and delayed."""
    result = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        result[url.rpartition("/")[2]] = sum(
            int(value)
            for name, value in attributes.items()
            if name.startswith("ApproximateNumberOfMessages")
        )
    return result


def _decode(message: Any) -> Any:
    try:
        return json.loads(message) if isinstance(message, str) else message
    except ValueError:
        return message


def status_of(message: Any) -> str:
    """Return the status of a run of which this was heard last, as it was written."""
    message = _decode(message)
    if isinstance(message, dict):
        if message.get("error") not in (None, False) or message.get("dag_complete") is False:
            return "failed"
        if message.get("dag_complete") is True:
            return "succeeded"
    return "running"
