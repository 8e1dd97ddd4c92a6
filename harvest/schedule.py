"""Beat's scheduler: the schedule is in the database, and what stands there is the operator's."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from harvest import heartbeats
from harvest.recording import TransientError

logger = structlog.stdlib.get_logger(__name__)

LONG_AGO = datetime.min  # noqa: DTZ901 - naive, as django-celery-beat's own


class Entry(ModelEntry):  # type: ignore[misc] # it has no types
    """django-celery-beat's, which a clock that was ahead does not stop until that time has come."""

    last_run_at: datetime

    def is_due(self) -> Any:
        """Return whether it is due, and when to ask again, counted from now at the latest."""
        self.last_run_at = self.model.last_run_at = min(self.last_run_at, timezone.now())
        return super().is_due()


class Scheduler(DatabaseScheduler):  # type: ignore[misc] # it has no types
    """django-celery-beat's, without the entries that it writes anew at every start, and with a pulse."""

    Entry = Entry
    _last_tick = LONG_AGO
    _pulse: heartbeats.Pulse | None = None
    _stored_at = float("-inf")

    def install_default_entries(self, data: Any) -> None:
        """Do nothing: a migration makes the entries, once."""

    def all_as_schedule(self) -> Any:
        """Read the schedule. While the database is away, what was read last goes on (at first: nothing),
        since an error would end beat."""
        try:
            return super().all_as_schedule()
        except TransientError as error:
            logger.warning("schedule_unreadable", error=str(error))
            self._last_full_sync = LONG_AGO
            return self._schedule or {}

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Run what is due, as ever. Read the schedule again when the clock has gone back: what was
        planned is planned for a time that is far away by now."""
        now = datetime.now()  # noqa: DTZ005 - naive, too
        if now < self._last_tick:
            self._last_full_sync = LONG_AGO
        self._last_tick = now
        seconds = super().tick(*args, **kwargs)
        self._say_that_it_is_alive()
        return seconds

    def close(self) -> None:
        super().close()
        if self._pulse is not None:
            self._pulse.end()
            self._try(lambda pulse: heartbeats.forget([pulse]), self._pulse)

    def _say_that_it_is_alive(self) -> None:
        if self._pulse is None:
            self._pulse = heartbeats.Pulse(heartbeats.Part.BEAT, socket.gethostname())
        self._pulse.beat()
        heartbeats.tell_watchdog([self._pulse])
        if time.monotonic() - self._stored_at > heartbeats.seconds_between():
            self._stored_at = time.monotonic()
            self._try(_store, self._pulse)

    def _try(self, action: Callable[[heartbeats.Pulse], None], pulse: heartbeats.Pulse) -> None:
        try:
            action(pulse)
        except (DatabaseError, InterfaceError) as error:  # it is away, or has no such table yet
            logger.warning("heartbeat_not_stored", error=str(error))


def _store(pulse: heartbeats.Pulse) -> None:
    heartbeats.store([pulse])
    heartbeats.forget_lost()
