"""What workers tell Flower: over a second broker, since SQS can't send one message to many."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer
from django.conf import settings
from kombu import Connection

#: Where events go that nobody asked for: a broker in this process, without a queue.
NOWHERE = "memory://"


class MonitoredConsumer(Consumer):
    """A worker's consumer that sends its events to the monitoring broker."""

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """Return a connection that is made on first use: a monitor that is away delays no worker."""
        return Connection(settings.MONITOR_BROKER_URL or NOWHERE, connect_timeout=2)
