"""What the live world is like, and what to do about it: ``manage.py doctor``.

It changes nothing. The system checks, which run before every command, look at the settings alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from django.conf import settings

from harvest.doctor import life, queues, topic, world
from harvest.doctor.findings import Finding, Level, fault
from harvest.permissions import Process

__all__ = ["Finding", "Level", "examine"]

#: Impatient: who asks is waiting.
CONFIG = Config(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2}
)


def examine(process: Process) -> Iterator[Finding]:
    """Ask everything that this process needs, one after the other, and tell how it is."""
    yield from world.examine_settings()
    yield from world.examine_database()
    yield from _examine_aws(process)
    yield world.examine_monitor()
    yield from world.examine_airflow()
    yield from life.examine()


def _examine_aws(process: Process) -> Iterator[Finding]:
    if not settings.RIKOLTI_EVENTS_QUEUE_URL:
        yield fault("AWS: no queue is set.", "Run manage.py setup_queues, and set what it prints.")
        return
    try:
        sqs, sns = boto3.client("sqs", config=CONFIG), boto3.client("sns", config=CONFIG)
        yield world.examine_clock(sqs)
        yield from queues.examine(sqs, process)
        yield from topic.examine(sqs, sns)
    except BotoCoreError as error:
        yield fault(f"AWS: it can't be asked: {error}", "See AWS_REGION, credentials and the network.")
