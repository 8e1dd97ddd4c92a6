"""Deleting in the background, on the real queue."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError

from harvest.deleter import Deleter
from harvest.provision import EVENTS
from tests.broker.processes import wait_until
from tests.broker.wire import Wire
from tests.logged import entries


@pytest.fixture
def deleter(wire: Wire) -> Iterator[Deleter]:
    deleter = Deleter(wire.sqs, wire.url(EVENTS))
    yield deleter
    deleter.close(10)
    assert not deleter.is_alive()


def receive_all(wire: Wire) -> list[str]:
    """Receive all that is on the queue, and return the receipt handles."""
    handles: list[str] = []
    while messages := wire.sqs.receive_message(
        QueueUrl=wire.url(EVENTS), MaxNumberOfMessages=10, VisibilityTimeout=60
    ).get("Messages"):
        handles += [message["ReceiptHandle"] for message in messages]
    return handles


def test_all_are_deleted_ten_at_a_time(
    deleter: Deleter, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    delete = wire.sqs.delete_message_batch

    def count(**parameters: object) -> object:
        sizes.append(len(parameters["Entries"]))  # type: ignore[arg-type]
        return delete(**parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(wire.sqs, "delete_message_batch", count)
    wire.send(["a body"] * 35)

    deleter.delete(receive_all(wire))
    deleter.start()
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty queue")

    assert sizes == [10, 10, 10, 5]


def test_closing_deletes_what_waits(deleter: Deleter, wire: Wire) -> None:
    wire.send(["a body"] * 25)
    deleter.delete(receive_all(wire))

    deleter.start()
    deleter.close(30)

    assert wire.depths()[EVENTS] == 0


def test_one_that_cannot_be_deleted_does_not_stop_the_others(
    deleter: Deleter, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    wire.send(["a body"] * 3)

    deleter.start()
    deleter.delete(["no handle of any message", *receive_all(wire)])
    wait_until(lambda: wire.depths()[EVENTS] == 0, "an empty queue")

    (entry,) = entries(caplog, "message_not_deleted")
    assert entry["queue"] == "rikolti-events"


def test_queue_that_is_away_is_no_end(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wire.send(["a body"] * 2)
    first, second = receive_all(wire)
    client = boto3.client("sqs", config=Config(retries={"total_max_attempts": 1}))
    refusing = [True]

    def refuse(request: object, **kwargs: object) -> None:
        if refusing:
            raise ConnectTimeoutError(endpoint_url="of the test")

    client.meta.events.register("before-send.sqs", refuse)
    deleter = Deleter(client, wire.url(EVENTS))
    deleter.start()

    deleter.delete([first])
    wait_until(lambda: entries(caplog, "messages_not_deleted"), "the warning")
    refusing.clear()
    deleter.delete([second])

    wait_until(lambda: wire.depths()[EVENTS] == 1, "the second deleted, the first not")
    deleter.close(10)
