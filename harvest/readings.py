"""Reading the queues: how full each is, kept for a while, and a warning where one is too full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from harvest import queues
from harvest.models import QueueReading, Redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The readings that were stored, and what kept others from being."""

    readings: Sequence[QueueReading]
    problems: Sequence[str]

    def __str__(self) -> str:
        counts = ", ".join(f"{reading.queue} {reading.visible}" for reading in self.readings)
        return "; ".join([counts or "no queue could be read", *self.problems])


def read_queues(now: datetime) -> Outcome:
    """Read, store and judge the queues of the settings and their dead-letter queues.

    One that is not there or can't be asked is said, and stops no other.
    """
    sqs = queues.sqs_client()
    problems: list[str] = []
    readings: list[QueueReading] = []
    for kind in Redrive.Kind:
        try:
            source = queues.look_at(sqs, queues.source_url(kind))
            readings.append(_reading(source, now))
            dead = queues.look_at_dead_letters(sqs, source)
            readings.append(_reading(dead, now, source=source.name, oldest_at=_oldest(sqs, dead)))
        except (queues.NoSuchQueue, *queues.AwsError) as error:
            logger.warning("queue_unreadable", error=str(error))
            problems.append(str(error))
    _add_ages([reading for reading in readings if not reading.source and reading.visible], now)
    QueueReading.objects.bulk_create(readings)
    for reading in readings:
        if reading.is_over:
            logger.warning(
                "queue_over_threshold",
                queue=reading.queue,
                messages=reading.visible,
                threshold=reading.threshold,
            )
    return Outcome(readings, problems)


def _oldest(sqs: SQSClient, dead: queues.Queue) -> datetime | None:
    """The depth is known by now: it is kept, though the age can't be had."""
    try:
        return queues.oldest_dead_letter(sqs, dead)
    except queues.AwsError as error:
        logger.info("oldest_dead_letter_unknown", queue=dead.name, error=str(error))
        return None


def _reading(
    queue: queues.Queue, now: datetime, *, source: str = "", oldest_at: datetime | None = None
) -> QueueReading:
    return QueueReading(
        queue=queue.name,
        source=source,
        read_at=now,
        visible=queue.visible,
        in_flight=queue.in_flight,
        oldest_at=oldest_at,
    )


def _add_ages(readings: Sequence[QueueReading], now: datetime) -> None:
    """Add when the oldest message was sent, where CloudWatch knows it and we may ask."""
    if not readings:
        return
    try:
        found = queues.oldest_by_cloudwatch([reading.queue for reading in readings], now)
    except queues.AwsError as error:
        logger.info("oldest_messages_unknown", error=str(error))
        return
    for reading in readings:
        reading.oldest_at = found.get(reading.queue)
