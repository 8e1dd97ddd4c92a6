"""Deleting messages from an SQS queue: ten at a time, off the thread that is done with them.

What is not deleted, because the network or the process ends first, is delivered again, and found to be
stored. So nothing waits for a deletion.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = structlog.stdlib.get_logger(__name__)

#: SQS's own bound of a receive and of each batch call.
MOST_AT_ONCE = 10

#: Seconds that a deletion waits for others, to be one request with them.
LINGER_SECONDS = 0.1

#: Receipt handles that wait, several times what the consumer collects.
MOST_WAITING = 50_000


def delete_batch(client: SQSClient, url: str, receipt_handles: Sequence[str]) -> None:
    """Delete up to ten messages. One that can't be is logged: it comes back.

    Raises:
        BotoCoreError, ClientError: none was deleted, as far as is known.
    """
    response = client.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(index), "ReceiptHandle": receipt_handle}
            for index, receipt_handle in enumerate(receipt_handles)
        ],
    )
    for failure in response.get("Failed", []):
        logger.warning(
            "message_not_deleted",
            queue=url.rpartition("/")[2],
            code=failure.get("Code"),
            error=failure.get("Message"),
        )


class Deleter(threading.Thread):
    """Deletes what it is told to from one queue, in the background, until it is closed."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self.url = url
        self.queue_name = url.rpartition("/")[2]
        super().__init__(name=f"delete-{self.queue_name}", daemon=True)
        self._client = client
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)

    def delete(self, receipt_handles: Iterable[str]) -> None:
        """Have messages deleted soon. Never waits: where too many wait already, they come back."""
        for receipt_handle in receipt_handles:
            try:
                self._waiting.put_nowait(receipt_handle)
            except queue.Full:
                logger.warning("too_much_to_delete", queue=self.queue_name)
                return

    def close(self, patience: float) -> None:
        """Delete what waits, for so many seconds at the most."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            logger.warning("messages_left_undeleted", queue=self.queue_name)
            return
        self.join(patience)

    def run(self) -> None:
        ending = False
        while not ending:
            batch = self._next_batch()
            ending = None in batch
            self._delete_batch([receipt_handle for receipt_handle in batch if receipt_handle])

    def _next_batch(self) -> list[str | None]:
        """Wait for something to delete, and a moment for more. None stands for the end."""
        batch = [self._waiting.get()]
        deadline = time.monotonic() + LINGER_SECONDS
        with suppress(queue.Empty):
            while len(batch) < MOST_AT_ONCE and batch[-1] is not None:
                batch.append(self._waiting.get(timeout=max(0, deadline - time.monotonic())))
        return batch

    def _delete_batch(self, receipt_handles: list[str]) -> None:
        if not receipt_handles:
            return
        try:
            delete_batch(self._client, self.url, receipt_handles)
        except (BotoCoreError, ClientError) as error:
            logger.warning(
                "messages_not_deleted",
                queue=self.queue_name,
                messages=len(receipt_handles),
                error=str(error),
            )
        except Exception:
            logger.exception("deletion_failed", queue=self.queue_name, messages=len(receipt_handles))
