"""The custom consumer: a bootstep that takes Rikolti's raw messages inside a Celery worker.

A thread of its own receives with boto3, so that nothing here blocks the worker's loop and no body
passes through kombu, which takes some of them for its own (docs/design.md says which).

A message is deleted only when its chain of tasks is on the task queue. Whatever goes wrong before
that, it is not deleted, and comes back.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from celery import bootsteps, chain
from celery.exceptions import OperationalError
from celery.utils import uuid
from celery.worker import state
from django.conf import settings
from django.db import close_old_connections
from structlog.contextvars import bound_contextvars

from harvest import metrics, recording, taskids
from harvest.batching import Batch, group_by_run
from harvest.deleter import MOST_AT_ONCE, Deleter
from harvest.heartbeats import Part, Pulse
from harvest.rawqueue import LONG_POLL, RawQueue
from harvest.sns import SqsMessage
from harvest.tasks import recompute_run_status, record_event

logger = structlog.stdlib.get_logger(__name__)

#: Bounds of what is collected while the queue gives full batches. A backlog is taken in big bites,
#: since a chain costs the same for one event as for a hundred.
COLLECT_MESSAGES = 5_000
COLLECT_BYTES = 16 * 1024 * 1024
COLLECT_SECONDS = 5.0
#: Between looks at a queue that gives little, while the worker has more tasks than it can run.
BUSY_SECONDS = 0.2

#: While nothing can be published, what was received is kept from others for this long at a time.
HOLD_SECONDS = 120
PATIENT_TRIES = 5
LONGEST_BACKOFF = 60.0

#: How long a stopping worker waits: for an idle receive, and for messages in hand.
STOP_IDLE_SECONDS = 0.5
STOP_BUSY_SECONDS = 20.0

#: What heals by itself: the network, AWS, the broker, the database.
HEALING = (BotoCoreError, ClientError, OperationalError, OSError, *recording.TransientError)


class RikoltiConsumer(bootsteps.StartStopStep):
    """Takes raw messages while the worker consumes tasks; RIKOLTI_CONSUMER=0 leaves it out."""

    requires = ("celery.worker.consumer.tasks:Tasks", "harvest.heartbeats:Heartbeats")
    name = "RikoltiConsumer"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self.receiver: Receiver | None = None
        super().__init__(parent, **kwargs)

    def include_if(self, parent: Any) -> bool:
        return bool(settings.RIKOLTI_CONSUMER)

    def start(self, parent: Any) -> None:
        pulse = Pulse(Part.CONSUMER, parent.hostname)
        self.receiver = Receiver(
            RawQueue(settings.RIKOLTI_EVENTS_QUEUE_URL),
            is_busy=lambda: len(state.reserved_requests) > parent.pool.num_processes,
            on_progress=pulse.beat,
        )
        self.receiver.start()
        parent.pulses.append(pulse)

    def stop(self, parent: Any) -> None:
        if self.receiver is not None:
            self.receiver.stop()
            self.receiver = None

    shutdown = stop


class Receiver(threading.Thread):
    """Receives, collects, publishes and deletes, until it is stopped. Raises nothing.

    ``is_busy`` says whether tasks wait: then more chains would only wait as well. ``on_progress`` hears
    of each receive that the queue answered, and of each batch that is safe.
    """

    def __init__(
        self,
        queue: RawQueue,
        is_busy: Callable[[], bool] = lambda: False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="rikolti-receiver", daemon=True)
        self.queue = queue
        self._is_busy = is_busy
        self._on_progress = on_progress
        self._deleter = Deleter(queue.client, queue.url)
        self._stopping = threading.Event()
        self._busy = threading.Event()

    def start(self) -> None:
        self._deleter.start()
        super().start()

    def run(self) -> None:
        logger.info("consumer_started", queue=self.queue.name)
        backoff = _backoff()
        while not self._stopping.is_set():
            try:
                self._hand_over(self._collect())
                backoff = _backoff()
            except HEALING as error:
                metrics.add(metrics.RECEIVE_FAILURES)
                delay = next(backoff)
                logger.warning(
                    "events_queue_unreachable",
                    queue=self.queue.name,
                    error=str(error),
                    again_in_seconds=round(delay, 1),
                )
                self._stopping.wait(delay)
            except Exception:
                metrics.add(metrics.RECEIVE_FAILURES)
                logger.exception("consumer_failed", queue=self.queue.name)
                self._stopping.wait(next(backoff))
            finally:
                self._busy.clear()
        logger.info("consumer_stopped", queue=self.queue.name)

    def stop(self) -> None:
        """Let go: what is in hand is published or given back, an idle receive is abandoned."""
        self._stopping.set()
        self.join(STOP_IDLE_SECONDS)
        if self._busy.is_set():
            self.join(STOP_BUSY_SECONDS)
        self._deleter.close(STOP_BUSY_SECONDS)

    def _collect(self) -> list[SqsMessage]:
        """Return what the queue has: at once when all is quiet, in big bites when it is not.

        A worker that is busy takes big bites, too. Else events that come one by one would make a
        chain each, as many as no worker can keep up with, however empty the queue is.
        """
        received = self.queue.receive(LONG_POLL)
        self._on_progress()
        self._busy.set()
        started, size, messages = time.monotonic(), _size(received), [*received]
        while (
            (len(received) == MOST_AT_ONCE or self._waits_while_busy())
            and len(messages) < COLLECT_MESSAGES
            and size < COLLECT_BYTES
            and time.monotonic() - started < COLLECT_SECONDS
            and not self._stopping.is_set()
        ):
            try:
                received = self.queue.receive(wait_seconds=0)
            except HEALING as error:
                logger.warning("receive_interrupted", queue=self.queue.name, error=str(error))
                break  # and publish what is in hand
            messages.extend(received)
            size += _size(received)
        metrics.add(metrics.MESSAGES_RECEIVED, len(messages))
        return messages

    def _waits_while_busy(self) -> bool:
        if not self._is_busy():
            return False
        self._stopping.wait(BUSY_SECONDS)
        return True

    def _hand_over(self, messages: list[SqsMessage]) -> None:
        """Publish a chain a run, then delete its messages. Hold them while nothing can be published."""
        pending = deque(group_by_run(messages))
        for tries, delay in enumerate(_backoff(), start=1):
            before = len(pending)
            while pending and not self._stopping.is_set() and _publish(pending[0]):
                self._forget(pending.popleft())
            # What fails where others do not, or for too long, must not block what follows.
            stuck = pending and (len(pending) < before or tries >= PATIENT_TRIES)
            if stuck and not self._stopping.is_set() and _record_here(pending[0]):
                self._forget(pending.popleft())
            if not pending:
                return
            held = [message for batch in pending for message in batch.messages]
            if self._stopping.is_set():
                self._hide(held, 0)
                return
            self._hide(held, HOLD_SECONDS)
            logger.warning("messages_held", messages=len(held), again_in_seconds=round(delay, 1))
            self._stopping.wait(delay)
            pending.rotate(-1)

    def _forget(self, batch: Batch) -> None:
        """Its messages are safe: let the queue forget them."""
        self._on_progress()
        self._deleter.delete(message.receipt_handle for message in batch.messages)

    def _hide(self, messages: list[SqsMessage], seconds: int) -> None:
        """What the queue does not hear of, it finds out when the visibility timeout ends."""
        try:
            self.queue.hide(messages, seconds)
        except HEALING as error:
            logger.warning("messages_not_hidden", queue=self.queue.name, error=str(error))


def _publish(batch: Batch) -> bool:
    """Put one run's messages on the task queue. Return whether they are safe there."""
    # The id of a chain's first task is the root id of all that follows from it.
    correlation_id = _new_task_id(batch)
    with bound_contextvars(correlation_id=correlation_id):
        return _publish_as(correlation_id, batch)


def _publish_as(task_id: str, batch: Batch) -> bool:
    try:
        tasks = chain(
            record_event.s([message.to_task() for message in batch.messages]).set(
                argsrepr=f"({batch})", task_id=task_id
            ),
            recompute_run_status.s().set(task_id=_new_task_id(batch)),
        )
        tasks.apply_async(retry=False)
    except HEALING as error:
        if _is_refused(error):
            return _record_here(batch)
        metrics.add(metrics.PUBLISH_FAILURES)
        logger.warning("chain_not_published", error=str(error))
        return False
    except Exception:
        logger.exception("chain_failed")
        return _record_here(batch)
    metrics.add(metrics.CHAINS_PUBLISHED)
    logger.info(
        "chain_published",
        dag_id=batch.key.dag_id if batch.key else None,
        dag_run_id=batch.key.dag_run_id if batch.key else None,
        messages=len(batch.messages),
        sqs_message_ids=[message.message_id for message in batch.messages],
    )
    return True


def _new_task_id(batch: Batch) -> str:
    """Return what makes a task's result one of its run's. Messages of no run have an id as any task."""
    if batch.key is None:
        return uuid()
    return taskids.for_messages(batch.key.dag_id, batch.key.dag_run_id)


def _record_here(batch: Batch) -> bool:
    """Do the work of the chain in this thread, for messages that can't be published."""
    try:
        run_id = recording.record(batch.messages).run_id
        if run_id is not None:
            recording.recompute(run_id)
    except recording.NotVerified as error:
        # The others are stored. These stay in hand, as they would if the database were away.
        logger.warning("messages_not_verified", error=str(error))
        return False
    except Exception:
        logger.exception("messages_not_recorded")
        return False
    finally:
        close_old_connections()
    return True


def _is_refused(error: Exception) -> bool:
    """Return whether SQS refused a message for itself: its length, since it is plain ASCII."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return code in ("InvalidParameterValue", "InvalidMessageContents")


def _backoff() -> Iterator[float]:
    """Yield seconds to wait: doubling, capped, with jitter so that workers don't return as one."""
    delay = 1.0
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        delay = min(delay * 2, LONGEST_BACKOFF)


def _size(messages: list[SqsMessage]) -> int:
    return sum(message.size for message in messages)
