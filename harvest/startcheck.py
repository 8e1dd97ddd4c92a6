"""What a worker says when it starts: of whom it would believe, and of queues that would lose messages.

Celery runs Django's checks, and tells nobody what they say; ``manage.py doctor`` tells one who asks.
"""

from __future__ import annotations

import threading
from typing import Any

import boto3
import structlog
from celery import bootsteps

from harvest.checks import check_worker
from harvest.doctor import CONFIG, Level, queues

logger = structlog.stdlib.get_logger(__name__)

#: What entries of the queues have in the place of a system check's id.
CHECK = "doctor"


class StartCheck(bootsteps.StartStopStep):
    """Looks at the settings, and asks once for those of the queues: in a thread, so that AWS that is
    away holds up no worker.

    Raises:
        ImproperlyConfigured: the worker must not start.
    """

    requires = ("celery.worker.components:Pool",)  # whose processes need not inherit it
    name = "StartCheck"

    def start(self, parent: Any) -> None:
        for problem in check_worker():
            logger.warning("setting_doubtful", check=problem.id, problem=problem.msg, hint=problem.hint)
        threading.Thread(target=tell_doubtful, name="queue-check", daemon=True).start()


def tell_doubtful() -> None:
    """Log each fault of the queues' settings. Raises nothing."""
    try:
        # In a session of its own: boto3's is not made for several threads.
        sqs = boto3.session.Session().client("sqs", config=CONFIG)
        for finding in queues.examine_keeping(sqs):
            if finding.level is Level.FAULT:
                logger.warning("setting_doubtful", check=CHECK, problem=finding.what, hint=finding.todo)
    except Exception as error:  # whatever AWS answers: the worker's work does not depend on it
        logger.warning("queues_not_examined", error=str(error))
