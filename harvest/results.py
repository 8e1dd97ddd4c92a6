"""Where task results are kept: django-celery-results, made to let a task end without it.

A task that has done its work, or has put its retry on the queue, is done. Were an error from storing the
result let out, Celery would take the task for failed and SQS would deliver its message again: with a
database that is away, each attempt of a retry would make two.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import structlog
from celery import states
from django.utils import timezone
from django_celery_results.backends.database import DatabaseBackend

from harvest import retention
from harvest.recording import TransientError

logger = structlog.stdlib.get_logger(__name__)


class ResultBackend(DatabaseBackend):  # type: ignore[misc] # it has no types
    """Stores results where it can, and says in the log where it can't."""

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._store_result(task_id, result, status, *args, **kwargs)
        except TransientError as error:
            logger.warning("result_not_stored", task_id=task_id, status=status, error=str(error))
            return result

    def cleanup(self) -> None:
        """Remove old results for Celery's own task, if someone still has that one scheduled: in slices,
        as harvest.prune does, where it would delete all of them in one statement."""
        deque(retention.prune(timezone.now(), [retention.RESULTS]), maxlen=0)

    def _get_task_meta_for(self, task_id: str) -> Any:
        """Return what is known of a task: nothing, while the database is away."""
        try:
            return super()._get_task_meta_for(task_id)
        except TransientError as error:
            logger.warning("result_unreadable", task_id=task_id, error=str(error))
            return {"status": states.PENDING, "result": None}
