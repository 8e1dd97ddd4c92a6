"""Beat's scheduler: the schedule is in the database, and what stands there is the operator's."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):  # type: ignore[misc] # it has no types
    """django-celery-beat's, without the entries that it writes anew at every start."""

    def install_default_entries(self, data: Any) -> None:
        """Do nothing: a migration makes the entries, once."""
