"""The SQS transport for Celery's own queue: kombu's, made to outlive the network.

kombu 5.7 receives through curl and lets what goes wrong there (no server, a throttled or refused
request, an answer of 500, a body that it can't read) out into the worker's event loop, which ends the
worker. Here a receive is a boto3 call in a thread: boto3 retries what is worth it, and what still fails
is logged and tried again later. Everything else is kombu's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import SQS

from harvest.deleter import Deleter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = structlog.stdlib.get_logger(__name__)

#: Seconds before a receive that failed is tried again, after boto3's own retries.
RETRY_SECONDS = 5.0

#: Seconds for the last deletions, when a worker ends.
CLOSE_SECONDS = 10.0


class Channel(SQS.Channel):
    """Receives in a thread, one receive at a time for each queue."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deleters: dict[str, Deleter] = {}
        for name, queue in self.predefined_queues.items():
            if not queue["url"]:
                raise ImproperlyConfigured(
                    f"The URL of queue {name} is not set: set RIKOLTI_EVENTS_QUEUE_URL, beside which "
                    "it is looked for, or AVRAM_TASKS_QUEUE_URL."
                )
            self.sqs(queue=name)  # makes the client here, and not in a thread

    def new_sqs_client(self, *args: Any, **kwargs: Any) -> SQSClient:
        """Return a client of AWS's own chain, from boto3's one session.

        A session of its own would read the descriptions of AWS's services anew: 10 MB in each process.
        """
        return boto3.client("sqs", config=Config(**self.transport_options["client-config"]))

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Have a task's message deleted, with others, and not on the worker's loop."""
        try:
            message = self.qos.get(delivery_tag).delivery_info
            self._deleter(message["sqs_queue"]).delete([message["sqs_message"]["ReceiptHandle"]])
        except Exception:  # it comes back, and this must not end the worker's loop
            logger.exception("task_message_undeletable")
        finally:
            self.qos.ack(delivery_tag)

    def _deleter(self, url: str) -> Deleter:
        if url not in self._deleters:
            self._deleters[url] = Deleter(self._client(url), url)
            self._deleters[url].start()
        return self._deleters[url]

    def _client(self, url: str) -> SQSClient:
        names = {queue["url"]: name for name, queue in self.predefined_queues.items()}
        client: SQSClient = self.sqs(queue=names[url])
        return client

    def close(self) -> None:
        super().close()
        for deleter in self._deleters.values():
            deleter.close(CLOSE_SECONDS)
        self._deleters.clear()

    def _restore(self, message: Any, *args: Any) -> None:
        """Give a message back when the channel closes, sooner than it would come back by itself.

        Where that fails, kombu would write its body to a file.
        """
        try:
            super()._restore(message, *args)
        except Exception as error:
            logger.warning("task_message_not_given_back", error=str(error))

    def _schedule_queue(self, queue: str) -> None:
        """Ask for tasks when there is room for some, rather than for each one that ends."""
        room = self.qos.can_consume_max_estimate()
        if room is not None and room < self.qos.prefetch_count / 2:
            self._loop1(queue)  # and look again
        else:
            super()._schedule_queue(queue)

    def _get_async(self, queue: str, count: int = 1, callback: Any = None) -> Any:
        threading.Thread(
            target=self._receive,
            args=(queue, count, callback),
            name=f"receive-{queue}",
            daemon=True,
        ).start()
        return callback

    def _size(self, queue: str) -> int:
        """Return a queue's length, which declaring it asks for; a queue that is away has none."""
        try:
            return int(super()._size(queue))
        except (BotoCoreError, ClientError) as error:
            logger.warning("queue_length_unknown", queue=queue, error=str(error))
            return 0

    def _receive(self, queue: str, count: int, callback: Any) -> None:
        try:
            response = self._receive_message(queue, count, self.wait_time_seconds)
        except Exception as error:  # whatever a network can do
            logger.warning(
                "task_queue_unreachable", queue=queue, error=str(error), again_in_seconds=RETRY_SECONDS
            )
            self.hub.call_soon(self._on_receive_failed, queue)
        else:
            self.hub.call_soon(self._on_received, queue, response, callback)

    def _on_received(self, queue: str, response: dict[str, Any], callback: Any) -> None:
        messages = response.get("Messages", [])
        for message in messages:
            try:
                self._on_messages_ready(self._new_queue(queue), queue, {"Messages": [message]})
            except Exception:
                # It stays on the queue, and in the end goes to the dead letters.
                logger.exception(
                    "task_message_unreadable", queue=queue, sqs_message_id=message["MessageId"]
                )
                self.qos.ack(message["ReceiptHandle"])  # frees its place, deletes nothing
        callback(len(messages))

    def _on_receive_failed(self, queue: str) -> None:
        self.hub.call_later(RETRY_SECONDS, self._schedule_queue, queue)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Leave a message to SQS. What goes wrong meanwhile must not end the worker."""
        try:
            super().basic_reject(delivery_tag, requeue=requeue)
        except (BotoCoreError, ClientError) as error:
            logger.warning("task_message_not_given_back", error=str(error))
            self.qos.ack(delivery_tag)  # frees its place, deletes nothing


class Transport(SQS.Transport):
    Channel = Channel

    #: Seconds before the next look when a receive came back empty, or when the worker holds as many
    #: tasks as it may. kombu's second would be the pace of the whole pipeline.
    polling_interval = 0.01
