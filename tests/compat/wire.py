"""Task messages as they are on the queue: taken from what the code publishes, and given to a worker's
own way of running a task. In memory, with the same encoding as on SQS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery.app.trace import trace_task_ret
from kombu import Connection

from celery_app import app
from harvest import consumer, tasks
from harvest.batching import group_by_run
from tests.factories import complete, message

QUEUE = "avram-tasks"
DELIVERED = "delivered"  # apart, so that nothing waits before what a test delivers
FOLDER = Path(__file__).parent / "messages"

#: What differs from message to message, and from machine to machine.
_VOLATILE = ("id", "root_id", "parent_id", "reply_to", "correlation_id", "delivery_tag", "task_id",
             "origin", "stamped_headers", "argsrepr", "kwargsrepr")  # fmt: skip

#: The moment that recorded messages speak of, and the ids of the rows that they name.
MOMENT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
PK = 1


def publish_events() -> None:
    """As the consumer does: a chain for one run."""
    messages = (
        replace(one, receipt_handle="a receipt handle")
        for one in (message(message_id="compat 1"), complete(message_id="compat 2", seconds=60))
    )
    for batch in group_by_run(messages):
        assert consumer._publish(batch)


#: How each task is put on the queue, by its name. recompute_run_status follows in the chain.
PUBLISH: dict[str, Callable[[], Any]] = {
    "harvest.record_event": publish_events,
    "harvest.recompute_run_status": lambda: tasks.recompute_run_status.delay(PK),
    "harvest.reconcile_runs": tasks.reconcile_runs.delay,
    "harvest.reconcile_run": lambda: tasks.reconcile_run.delay(PK),
    "harvest.backfill_runs": tasks.backfill_runs.delay,
    "harvest.backfill_window": lambda: tasks.backfill_window.delay(
        "https://airflow.example.org", "harvest_collection", MOMENT.isoformat(), MOMENT.isoformat()
    ),
    "harvest.read_queues": tasks.read_queues.delay,
    "harvest.redrive": lambda: tasks.redrive_dead_letters.delay(PK, 0),
    "harvest.prune": tasks.prune.delay,
    "harvest.tell": tasks.tell.delay,
    "harvest.deliver_notice": lambda: tasks.deliver_notice.delay(PK, 0),
    "harvest.replay_rejected": lambda: tasks.replay_rejected.delay([PK]),
}


class Wire:
    """A queue in memory that the app publishes to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = connection.default_channel
        self._channel.queue_declare(QUEUE)
        self._channel.queue_declare(DELIVERED)

    @contextmanager
    def producer(self, given: Any = None) -> Iterator[Any]:
        """Stand in for the app's pool of producers."""
        yield given or app.amqp.Producer(self._channel, auto_declare=False)

    def take(self) -> list[dict[str, Any]]:
        """Return the messages that were published since, as SQS would carry them."""
        taken = []
        while self._channel._size(QUEUE):
            taken.append(json.loads(json.dumps(self._channel._get(QUEUE))))
        return taken

    def deliver(self, payload: Mapping[str, Any]) -> str:
        """Run a message's task as a worker does, and return the repr of its result.

        Raises:
            AssertionError: the task failed, or is not known.
        """
        received = self._receive(payload)
        headers = dict(received.headers)
        failed, result, _ = trace_task_ret(
            headers["task"], headers["id"], {**headers, "delivery_info": {}}, received.body,
            received.content_type, received.content_encoding, app=app,
        )  # fmt: skip
        assert not failed, result
        return str(result)

    def _receive(self, payload: Mapping[str, Any]) -> Any:
        self._channel._put(DELIVERED, json.loads(json.dumps(payload)))
        return self._channel.basic_get(DELIVERED, no_ack=True)

    def form(self, payload: Mapping[str, Any]) -> Any:
        """Return what of a message code has to understand: keys and types, task and options."""
        received = self._receive(payload)
        options = {key: received.properties.get(key) for key in ("priority", "delivery_mode")}
        content = json.loads(received.body)
        return [
            _form(dict(received.headers), values=True), options, received.content_type, _form(content)
        ]  # fmt: skip


def _form(value: Any, key: str = "", *, values: bool = False) -> Any:
    """Of a header the value counts; of an argument its type, and the task that a chain goes on with."""
    if key in _VOLATILE:
        return "…"
    if isinstance(value, dict):
        return {name: _form(part, name, values=values) for name, part in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_form(part, values=values) for part in value]
    return value if values or key in ("task", "immutable", "compression") else type(value).__name__


@contextmanager
def memory() -> Iterator[Wire]:
    with Connection("memory://") as connection:
        wire = Wire(connection)
        wire.take()
        yield wire


def recorded() -> dict[str, dict[str, Any]]:
    """Return the recorded messages by the name of their file."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
