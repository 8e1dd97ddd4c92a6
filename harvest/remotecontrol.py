"""Remote control of workers: over the monitoring broker, since SQS can't send one message to many.

A thread listens and answers, on a connection of its own. What a command does, it does on the worker's
loop, one at a time and in a moment. So a broker that is away, slow or silent holds up nothing but this
thread, and a flood of commands waits for the loop, not the loop for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeGuard

import structlog
from celery import bootsteps
from django.conf import settings
from kombu import Connection, Consumer, Exchange, Producer
from kombu.message import Message
from kombu.pidbox import Mailbox

from harvest import remotecommands
from harvest.monitoring import LAST_WORDS_SECONDS, RETRY_SECONDS, connect

logger = structlog.stdlib.get_logger(__name__)

#: Where Celery's own `inspect` and `control`, and so Flower, send to.
MAILBOX = Mailbox("celery", type="fanout")
ANSWERS = Exchange("reply.celery.pidbox", type="direct", durable=False, delivery_mode="transient")

#: Bounds of a command: bytes, workers that it names, characters of a name.
MOST_BYTES = 64 * 1024
MOST_NAMED = 1_000
LONGEST_NAME = 255

#: Seconds between looks whether the worker ends.
LOOK_SECONDS = 1.0


class RemoteControl(bootsteps.StartStopStep):
    """Takes commands while the worker consumes tasks; REMOTE_CONTROL=0 leaves it out."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    name = "RemoteControl"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self.listener: Listener | None = None
        super().__init__(parent, **kwargs)

    def include_if(self, parent: Any) -> bool:
        return bool(settings.MONITOR_BROKER_URL) and bool(settings.REMOTE_CONTROL)

    def start(self, parent: Any) -> None:
        self.listener = Listener(parent)
        self.listener.start()

    def stop(self, parent: Any) -> None:
        if self.listener is not None:
            self.listener.end()
            self.listener = None

    shutdown = stop


@dataclass(frozen=True)
class Command:
    """One command of a monitor."""

    name: str
    arguments: Mapping[str, Any]
    #: Empty where all workers are meant.
    workers: tuple[str, ...]
    #: Routing key and ticket of the answer; None where none is wanted.
    reply_to: tuple[str, str] | None

    @classmethod
    def parse(cls, body: Any) -> Command:
        """Read what came from the broker.

        Raises:
            ValueError: it is no command that this code knows the form of.
        """
        if not isinstance(body, dict):
            raise ValueError("it is no object")
        if body.get("pattern") or body.get("matcher"):
            raise ValueError("workers are named one by one, not by a pattern")
        name, arguments = body.get("method"), body.get("arguments") or {}
        workers, reply_to = body.get("destination") or (), body.get("reply_to")
        if not _is_name(name):
            raise ValueError("its method is no name")
        if not isinstance(arguments, dict):
            raise ValueError("its arguments are no object")
        if not isinstance(workers, list | tuple) or len(workers) > MOST_NAMED:
            raise ValueError("its destination is no list of workers")
        if reply_to is None:
            return cls(name, arguments, tuple(workers), None)
        key = reply_to.get("routing_key") if isinstance(reply_to, dict) else None
        ticket = body.get("ticket")
        if not _is_name(key) or not _is_name(ticket):
            raise ValueError("it does not say where the answer goes")
        return cls(name, arguments, tuple(workers), (key, ticket))


def _is_name(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= LONGEST_NAME


class Listener(threading.Thread):
    """Listens for commands to one worker, until it is told to end. Raises nothing."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(name="remote-control", daemon=True)
        self._consumer = consumer
        self._ending = threading.Event()

    def end(self) -> None:
        """Let go. A broker that is silent is not waited for."""
        self._ending.set()
        self.join(LAST_WORDS_SECONDS)

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                with connect() as connection:
                    self._listen(connection)
            except Exception as error:  # whatever a network can do
                logger.warning(
                    "remote_control_unreachable", error=str(error), again_in_seconds=RETRY_SECONDS
                )
                self._ending.wait(RETRY_SECONDS)

    def _listen(self, connection: Connection) -> None:
        def take(message: Message) -> None:
            self._take(message, connection)

        queue = MAILBOX.get_queue(self._consumer.hostname)
        with Consumer(connection, [queue], on_message=take, accept=["json"], no_ack=True):
            while not self._ending.is_set():
                with suppress(TimeoutError):  # nothing came
                    connection.drain_events(timeout=LOOK_SECONDS)

    def _take(self, message: Message, connection: Connection) -> None:
        try:
            if len(message.body or "") > MOST_BYTES:
                raise ValueError("it is too long")
            command = Command.parse(message.payload)
        except Exception as error:  # whatever JSON, or what calls itself so, can do
            logger.warning("remote_command_unreadable", error=type(error).__name__)
            return
        if command.workers and self._consumer.hostname not in command.workers:
            return
        answer = self._done_by_loop(command)
        if answer is not None and command.reply_to is not None:
            self._reply(connection, command.reply_to, answer.result())

    def _done_by_loop(self, command: Command) -> Future[Any] | None:
        """Wait until the worker's loop has done it; None where the worker ends before."""
        answer: Future[Any] = Future()

        def do() -> None:
            answer.set_result(remotecommands.run(self._consumer, command.name, command.arguments))

        self._consumer.call_soon(do)
        while not self._ending.is_set():
            with suppress(TimeoutError):
                answer.result(LOOK_SECONDS)
                return answer
        return answer if answer.done() else None

    def _reply(self, connection: Connection, reply_to: tuple[str, str], answer: Any) -> None:
        routing_key, ticket = reply_to
        Producer(connection).publish(
            {self._consumer.hostname: answer},
            exchange=ANSWERS,
            routing_key=routing_key,
            declare=[ANSWERS],
            headers={"ticket": ticket, "clock": self._consumer.app.clock.forward()},
            serializer="json",
            retry=False,
        )
