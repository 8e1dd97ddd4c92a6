"""What a worker says of its queues when it starts: settings that would lose messages or do them twice.

``manage.py doctor`` says it, too, but only to one who asks.
"""

from __future__ import annotations

import threading
from typing import Any

import boto3
import structlog
from celery import bootsteps

from harvest.doctor import CONFIG, Level, queues

logger = structlog.stdlib.get_logger(__name__)

#: What these entries have in the place of a system check's id.
CHECK = "doctor"


class QueueCheck(bootsteps.StartStopStep):
    """Asks once for the settings of the queues, in a thread: AWS that is away holds up no worker."""

    requires = ("celery.worker.components:Pool",)  # whose processes need not inherit it
    name = "QueueCheck"

    def start(self, parent: Any) -> None:
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
