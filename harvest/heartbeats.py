"""Signs of life of beat, of a worker's loop and of its consumer.

Each goes to a file, which `manage.py alive` looks at on the same machine without a database, and, by
the way, to a row of the database, which /readyz looks at from anywhere.
Where systemd watches, it is told.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from celery import bootsteps
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from harvest import watchdog
from harvest.models import Heartbeat

logger = structlog.stdlib.get_logger(__name__)

Part = Heartbeat.Part

#: Seconds between turns of a worker's loop that are noted, and between touches of a file.
LOOP_SECONDS = 5.0
TOUCH_SECONDS = 1.0

#: How long a worker that ends waits for the database to hear of it.
END_SECONDS = 2.0

#: After this a row is no longer of interest: its process was killed, and came back under another name.
FORGET_AFTER = timedelta(days=1)

#: Seconds of silence after which a part is to be restarted: more than it takes it, at the worst, to find
#: out that the network or the database is away (a receive with its retries, then a wait).
LIVE_SECONDS = {Part.BEAT: 120.0, Part.WORKER: 60.0, Part.CONSUMER: 240.0}

#: An idle consumer is heard of after its poll of 20 seconds, and what it takes to answer.
POLL_SECONDS = 22.0

#: However late a silence is missed, alerts go by the age of the rows.
MOST_SECONDS_BETWEEN = 30.0


class Pulse:
    """One part of this process, which says again and again that it is alive."""

    def __init__(self, part: Heartbeat.Part, host: str) -> None:
        self.part = part
        self.host = host
        self.file = runtime_folder() / f"{part}-{quote(host, safe='@')}"
        self._at = self._touched_at = time.monotonic()
        self._ended = False
        self._write()

    def beat(self) -> None:
        """Note that it is alive. From any thread; waits for nothing, raises nothing."""
        self._at = time.monotonic()
        if self._at - self._touched_at < TOUCH_SECONDS or self._ended:
            return
        self._touched_at = self._at
        try:
            os.utime(self.file)
        except OSError:  # someone has tidied up
            self._write()

    def _write(self) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(str(os.getpid()))
        except OSError as error:
            logger.warning("sign_of_life_not_written", file=str(self.file), error=str(error))

    @property
    def age(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._at)

    def end(self) -> None:
        """Remove the file: it is not missed, it has ended."""
        self._ended = True
        try:
            self.file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("sign_of_life_not_removed", file=str(self.file), error=str(error))


def runtime_folder() -> Path:
    return Path(settings.RUNTIME_DIR)


def tell_watchdog(pulses: Iterable[Pulse]) -> None:
    """Tell systemd that this process is alive, if all its parts are, as `manage.py alive` would say."""
    if all(pulse.age.total_seconds() <= LIVE_SECONDS[pulse.part] for pulse in pulses):
        watchdog.notify()


def store(pulses: Iterable[Pulse]) -> None:
    """Write how long ago each was alive, by the database's clock.

    Raises:
        Error of the database: it is away, or has no such table yet.
    """
    Heartbeat.objects.bulk_create(
        [Heartbeat(part=pulse.part, host=pulse.host, at=Now() - pulse.age) for pulse in pulses],
        update_conflicts=True,
        unique_fields=("part", "host"),
        update_fields=("at",),
    )


def forget(pulses: Iterable[Pulse]) -> None:
    """Remove the rows of what ends in order. Raises as :func:`store` does."""
    for pulse in pulses:
        Heartbeat.objects.filter(part=pulse.part, host=pulse.host).delete()


def forget_lost() -> None:
    """Remove the rows of what was killed long ago. Raises as :func:`store` does."""
    Heartbeat.objects.filter(at__lt=Now() - FORGET_AFTER).delete()


def seconds_between() -> float:
    """Return how often a row is written: thrice before it would be missed, and in time after a poll."""
    silence = float(settings.HEARTBEAT_STALE_AFTER.total_seconds())
    return min(silence / 3, silence - POLL_SECONDS, MOST_SECONDS_BETWEEN)


class Reporter(threading.Thread):
    """Writes rows from a thread of its own, so that a database that is silent holds up nothing."""

    def __init__(self, pulses: Callable[[], Iterable[Pulse]]) -> None:
        super().__init__(name="heartbeats", daemon=True)
        self._pulses = pulses
        self._ending = threading.Event()

    def run(self) -> None:
        stored: tuple[Pulse, ...] = ()
        while not self._ending.is_set():
            stored = tuple(self._pulses())
            self._try(store, stored)
            self._ending.wait(seconds_between())
        self._try(forget, stored)

    def end(self) -> None:
        self._ending.set()
        self.join(END_SECONDS)

    def _try(self, action: Callable[[Iterable[Pulse]], None], pulses: Iterable[Pulse]) -> None:
        try:
            action(pulses)
        except Exception as error:  # whatever a database can do
            logger.warning("heartbeats_not_stored", error=str(error))
        finally:
            connection.close()  # the pool's processes must not inherit it


class Heartbeats(bootsteps.StartStopStep):
    """The worker's own pulse, by its loop, and the reporter of this and the consumer's."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    name = "Heartbeats"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        parent.pulses = []
        self._timer: Any = None
        self._reporter: Reporter | None = None
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        pulse = Pulse(Part.WORKER, parent.hostname)
        parent.pulses.append(pulse)
        self._timer = parent.timer.call_repeatedly(LOOP_SECONDS, self._turn, (parent, pulse))
        self._reporter = Reporter(lambda: tuple(parent.pulses))
        self._reporter.start()

    def _turn(self, parent: Any, pulse: Pulse) -> None:
        pulse.beat()
        tell_watchdog(parent.pulses)

    def stop(self, parent: Any) -> None:
        if self._reporter is None:
            return
        self._timer.cancel()
        self._reporter.end()
        self._reporter = None
        for pulse in parent.pulses:
            pulse.end()
        parent.pulses.clear()

    shutdown = stop
