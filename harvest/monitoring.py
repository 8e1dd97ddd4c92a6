"""What workers tell Flower: over a second broker, since SQS can't send one message to many.

A monitor is there to watch. One that is away or slow costs the worker nothing: a thread carries the
events, and drops them when they pile up.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

import structlog
from celery.app.events import Events
from celery.events import EventDispatcher
from celery.events.event import get_exchange
from django.conf import settings
from kombu import Connection, Producer

from harvest import metrics

logger = structlog.stdlib.get_logger(__name__)

#: Events that wait for the monitor: a few seconds' worth of a busy worker.
MOST_WAITING = 1_000

#: Seconds: between attempts to reach a monitor that is away, and for the last events on the way out.
RETRY_SECONDS = 5.0
LAST_WORDS_SECONDS = 1.0

#: A broker that is silent, and one that is gone without a word, are as good as away.
PATIENCE = {"socket_connect_timeout": 2, "socket_timeout": 5, "socket_keepalive": True}

#: Characters of a task's arguments that a monitor sees.
MOST_OF_ARGUMENTS = 200


def connect() -> Connection:
    """Return a connection to the monitoring broker, which is made on first use."""
    return Connection(settings.MONITOR_BROKER_URL, connect_timeout=2, transport_options=PATIENCE)


def shorten(arguments: Any) -> str:
    """Return the beginning of what describes a task's arguments."""
    text = str(arguments)
    return text if len(text) <= MOST_OF_ARGUMENTS else f"{text[:MOST_OF_ARGUMENTS]}…"


class MonitorEvents(Events):
    """``app.events``, with the dispatcher below."""

    dispatcher_cls = "harvest.monitoring:MonitorDispatcher"


class MonitorDispatcher(EventDispatcher):
    """Hands a worker's events to the courier, in place of the network."""

    def __init__(self, connection: Any = None, *args: Any, **kwargs: Any) -> None:
        # The worker asks an event dispatcher's connection for heartbeats, in its own loop: give it
        # one that goes nowhere. What is published goes by the courier's.
        super().__init__(Connection("memory://"), *args, **kwargs)
        if settings.MONITOR_BROKER_URL:
            exchange = self.exchange  # type: ignore[has-type] # the stubs leave it out
            self.exchange = get_exchange(connect(), name=exchange.name)

    def send(self, type: str, *args: Any, **fields: Any) -> Any:
        for name in ("args", "kwargs"):
            if name in fields:
                fields[name] = shorten(fields[name])
        return super().send(type, *args, **fields)

    def enable(self) -> None:
        if not settings.MONITOR_BROKER_URL:
            self.enabled = False
            return
        super().enable()
        self.producer = Courier()
        self.producer.start()

    def close(self) -> None:
        courier = self.producer
        super().close()
        if isinstance(courier, Courier):
            courier.end()


class Courier(threading.Thread):
    """Publishes events one by one, as a producer would. Never blocks who calls, raises nothing."""

    def __init__(self) -> None:
        super().__init__(name="monitor-courier", daemon=True)
        self._waiting: queue.Queue[tuple[Any, dict[str, Any]] | None] = queue.Queue(MOST_WAITING)
        self._ending = threading.Event()

    def publish(self, event: Any, **options: Any) -> None:
        try:
            self._waiting.put_nowait((event, options))
        except queue.Full:
            logger.debug("monitor_event_dropped")

    def end(self) -> None:
        """Send what waits, if that is a matter of a moment."""
        self._ending.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self.join(LAST_WORDS_SECONDS)

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                with connect() as connection:
                    self._carry(Producer(connection))
                    return
            except Exception as error:  # whatever a network can do
                metrics.add(metrics.MONITOR_FAILURES)
                logger.warning("monitor_unreachable", error=str(error), again_in_seconds=RETRY_SECONDS)
                self._ending.wait(RETRY_SECONDS)

    def _carry(self, producer: Producer) -> None:
        while (item := self._waiting.get()) is not None:
            event, options = item
            producer.publish(event, **options)
