"""The tests' end of the wire: publish, send, and see what the queues hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import boto3
from django.conf import settings

from harvest.provision import DEAD_LETTERS, EVENTS, TASKS, Provisioner

QUEUES = (EVENTS, EVENTS + DEAD_LETTERS, TASKS, TASKS + DEAD_LETTERS)

#: SQS's bound of a batch of ten.
BATCH_BYTES = 256 * 1024


class Wire:
    """A connection to a local AWS: that of all tests, unless another endpoint is named."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.sqs = boto3.client("sqs", endpoint_url=endpoint)
        self.sns = boto3.client("sns", endpoint_url=endpoint)

    def renew(self, visibility_timeout: int) -> None:
        """Make all queues anew: what an earlier test's receive still holds open is gone with them."""
        self.remove_queues()
        list(Provisioner(sqs=self.sqs, sns=self.sns, visibility_timeout=visibility_timeout).run())

    def remove_queues(self) -> None:
        for url in self.sqs.list_queues().get("QueueUrls", []):
            self.sqs.delete_queue(QueueUrl=url)

    def remove_queue(self, name: str) -> None:
        self.sqs.delete_queue(QueueUrl=self.url(name))

    def publish(self, event: dict[str, Any]) -> None:
        """Publish an Airflow event to the topic, as Rikolti does."""
        self.sns.publish(TopicArn=settings.RIKOLTI_EVENTS_TOPIC_ARNS[0], Message=json.dumps(event))

    def send(self, bodies: Iterable[str], queue: str = EVENTS) -> None:
        """Put bodies on the raw queue, or on another, as they are."""
        batch: list[str] = []
        for body in bodies:
            if batch and (len(batch) == 10 or sum(map(len, [*batch, body])) > BATCH_BYTES):
                self._send_batch(batch, queue)
                batch = []
            batch.append(body)
        if batch:
            self._send_batch(batch, queue)

    def _send_batch(self, bodies: Sequence[str], queue: str) -> None:
        response = self.sqs.send_message_batch(
            QueueUrl=self.url(queue),
            Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)],
        )
        assert not response.get("Failed"), response

    def depths(self) -> dict[str, int]:
        """Return how many messages each queue holds, received and delayed ones included."""
        return {name: self._depth(name) for name in QUEUES}

    def url(self, name: str) -> str:
        return self.sqs.get_queue_url(QueueName=name)["QueueUrl"]

    def attributes(self, name: str) -> dict[str, str]:
        response = self.sqs.get_queue_attributes(QueueUrl=self.url(name), AttributeNames=["All"])
        return {str(key): value for key, value in response["Attributes"].items()}

    def _depth(self, name: str) -> int:
        attributes = self.attributes(name)
        states = ("", "NotVisible", "Delayed")
        return sum(int(attributes[f"ApproximateNumberOfMessages{state}"]) for state in states)

    def is_empty(self) -> bool:
        return not any(self.depths().values())
