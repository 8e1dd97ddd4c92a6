"""The channel of Celery's own queue, where kombu's would harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError
from celery import current_app
from kombu import Connection

from harvest.provision import TASKS
from harvest.transport import Channel
from tests.broker.processes import wait_until
from tests.broker.wire import Wire
from tests.logged import entries


@pytest.fixture
def connection(wire: Wire) -> Iterator[Connection]:
    with current_app.connection_for_read() as connection:
        yield connection


def receive(channel: Channel, wire: Wire, message: object) -> str:
    """Put a message on the task queue and take it, as a worker does. Return its delivery tag."""
    wire.sqs.send_message(QueueUrl=wire.url(TASKS), MessageBody=json.dumps(message))
    [received] = channel._receive_message(TASKS, 1, 1)["Messages"]
    parsed = channel._message_to_python(received, TASKS, channel._new_queue(TASKS))
    tag = str(parsed["properties"]["delivery_tag"])
    channel.qos.append(channel.Message(parsed, channel=channel), tag)
    return tag


@pytest.mark.parametrize("properties", [{}, {"delivery_info": {"routing_key": "of nobody"}}])
def test_any_message_can_be_acknowledged(
    connection: Connection, wire: Wire, properties: dict[str, object]
) -> None:
    channel = connection.channel()
    tag = receive(channel, wire, {"body": "", "properties": properties})

    channel.basic_ack(tag)

    wait_until(lambda: wire.depths()[TASKS] == 0, "the message deleted")


def test_acknowledging_what_is_not_known_is_no_error(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.channel().basic_ack("no delivery tag")

    assert entries(caplog, "task_message_undeletable")


def test_closing_writes_no_body_to_a_file(
    connection: Connection,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    channel = connection.channel()
    delivery_info = {"exchange": "", "routing_key": TASKS}
    receive(channel, wire, {"body": "", "properties": {"delivery_info": delivery_info}})
    monkeypatch.setattr(channel, "_put", Mock(side_effect=EndpointConnectionError(endpoint_url="it")))

    channel.close()

    assert entries(caplog, "task_message_not_given_back")
    assert "EMERGENCY" not in capsys.readouterr().err
    assert wire.depths()[TASKS] == 1
