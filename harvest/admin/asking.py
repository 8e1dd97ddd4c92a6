"""Tasks that people send from a page, and what a page says where nobody can take them."""

from __future__ import annotations

from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from celery import Task
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

logger = structlog.stdlib.get_logger(__name__)


def send(task: Task[Any, Any], *args: Any) -> str | None:
    """Put a task on the queue. Return None, or why that could not be done.

    Whether a worker takes it can't be known: the queue has no way to ask for one.
    """
    try:
        task.apply_async(args, retry=False)
    except (OperationalError, BotoCoreError, ClientError, OSError) as error:
        # The page says no more than the kind: an address may stand in the text.
        logger.warning("task_unsendable", task_to_send=task.name, error=str(error))
        return _("The queue of tasks can't be reached (%s). Nothing was started; try again later.") % (
            type(error).__name__
        )
    return None
