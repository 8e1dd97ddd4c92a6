"""The raw queue of Rikolti's events: receive, delete, hold and give back, ten at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import structlog
from botocore.config import Config

from harvest.deleter import MOST_AT_ONCE, delete_batch
from harvest.sns import SqsMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = structlog.stdlib.get_logger(__name__)

#: Seconds that SQS holds a receive open while the queue is empty: the longest it allows, so that an
#: idle worker asks three times a minute.
LONG_POLL = 20


class RawQueue:
    """One SQS queue by its URL. Every method may raise botocore's errors; all may be called again."""

    def __init__(self, url: str, client: SQSClient | None = None) -> None:
        self.url = url
        self.client = client or boto3.client(
            "sqs",
            config=Config(
                connect_timeout=5,
                read_timeout=LONG_POLL + 10,
                retries={"mode": "standard", "max_attempts": 3},
            ),
        )

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def receive(self, wait_seconds: int = LONG_POLL, most: int = MOST_AT_ONCE) -> list[SqsMessage]:
        """Return up to ten messages; fewer say that the queue is (nearly) empty."""
        response = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        now = datetime.now(UTC)
        return [SqsMessage.from_boto3(message, now) for message in response.get("Messages", [])]

    def delete(self, messages: Sequence[SqsMessage]) -> None:
        """Delete messages. One that can't be is logged: it comes back, and is found to be stored."""
        for part in _tens(messages):
            delete_batch(self.client, self.url, [message.receipt_handle for message in part])

    def hide(self, messages: Sequence[SqsMessage], seconds: int) -> None:
        """Keep received messages from others for this long from now on; 0 gives them back."""
        for part in _tens(messages):
            response = self.client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {
                        "Id": str(index),
                        "ReceiptHandle": message.receipt_handle,
                        "VisibilityTimeout": seconds,
                    }
                    for index, message in enumerate(part)
                ],
            )
            for failure in response.get("Failed", []):
                logger.warning(
                    "message_not_hidden",
                    queue=self.name,
                    code=failure.get("Code"),
                    error=failure.get("Message"),
                )


def _tens(messages: Sequence[SqsMessage]) -> Iterator[Sequence[SqsMessage]]:
    for start in range(0, len(messages), MOST_AT_ONCE):
        yield messages[start : start + MOST_AT_ONCE]
