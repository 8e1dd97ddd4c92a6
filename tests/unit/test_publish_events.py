from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from tests.factories import airflow_event, sns_body

COMMAND = "harvest.management.commands.publish_events"


class Wire:
    """Both of Amazon's clients: keeps what is sent, in the order of sending."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.breaks_after: int | None = None

    def client(self, service: str) -> Wire:
        assert service in ("sqs", "sns")
        return self

    def send_message(self, **message: str) -> None:
        if self.breaks_after == len(self.sent):
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")
        self.sent.append(message)

    publish = send_message

    @property
    def bodies(self) -> list[str]:
        return [message.get("MessageBody") or message["Message"] for message in self.sent]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Wire:
    wire = Wire()
    monkeypatch.setattr(f"{COMMAND}.boto3", SimpleNamespace(client=wire.client))
    settings.RIKOLTI_EVENTS_QUEUE_URL = "https://sqs.example/rikolti-events"
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = ["arn:first", "arn:second"]
    return wire


def write(folder: Path, *lines: object) -> str:
    file = folder / "events.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(file)


def publish(*arguments: Any, **options: Any) -> str:
    output = StringIO()
    call_command("publish_events", *arguments, stdout=output, **options)
    return output.getvalue()


def test_publish_events_sqs_message_goes_to_the_queue_as_it_is(wire: Wire, tmp_path: Path) -> None:
    body = sns_body(airflow_event(), Subject="Ænima 📚")
    file = write(tmp_path, {"MessageId": "4f338efd", "ReceiptHandle": "x", "Body": body})

    output = publish(file)

    assert wire.sent == [{"QueueUrl": "https://sqs.example/rikolti-events", "MessageBody": body}]
    assert output == "published 1 events\n"


def test_publish_events_airflow_event_goes_to_the_first_topic(wire: Wire, tmp_path: Path) -> None:
    line = json.dumps(airflow_event())

    publish(write(tmp_path, line))

    assert wire.sent == [{"TopicArn": "arn:first", "Message": line}]


def test_publish_events_of_several_files_and_empty_lines(wire: Wire, tmp_path: Path) -> None:
    file = write(tmp_path, "", {"n": 1}, "  ", {"n": 2}, "")

    assert publish(file, file) == "published 4 events\n"
    assert wire.bodies == ['{"n": 1}', '{"n": 2}', '{"n": 1}', '{"n": 2}']


def test_publish_events_line_separators_of_unicode_do_not_end_a_line(wire: Wire, tmp_path: Path) -> None:
    line = '{"text": "a\u2028b\u0085c"}'

    publish(write(tmp_path, line))

    assert wire.bodies == [line]


def test_publish_events_from_standard_input(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO('{"n": 1}\n'))

    publish("-")

    assert wire.bodies == ['{"n": 1}']


def test_publish_events_repeat(wire: Wire, tmp_path: Path) -> None:
    publish(write(tmp_path, {"n": 1}, {"n": 2}), repeat=3)

    assert wire.bodies == ['{"n": 1}', '{"n": 2}'] * 3


def test_publish_events_shuffle_is_the_same_again_by_its_seed(wire: Wire, tmp_path: Path) -> None:
    file = write(tmp_path, *({"n": n} for n in range(20)))
    in_order = [json.dumps({"n": n}) for n in range(20)]

    publish(file, shuffle=True, seed=7)
    publish(file, shuffle=True, seed=7)

    first, second = wire.bodies[:20], wire.bodies[20:]
    assert first == second != in_order
    assert sorted(first) == sorted(in_order)


def test_publish_events_rate_spreads_them(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(f"{COMMAND}.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))

    output = publish(write(tmp_path, {"n": 1}), "--rate", "2", "--repeat", "21")

    assert clock[0] == 1010.0
    assert output == "11 of 21 …\n21 of 21 …\npublished 21 events\n"


# --- What goes wrong ------------------------------------------------------------------------------


def test_publish_events_missing_file(wire: Wire) -> None:
    with pytest.raises(CommandError, match=r"^nowhere\.jsonl: .*No such file"):
        publish("nowhere.jsonl")


def test_publish_events_file_that_is_no_text(wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    with pytest.raises(CommandError, match=r"binary: 'utf-8' codec can't decode"):
        publish(str(tmp_path / "binary"))


def test_publish_events_not_json_says_where_and_sends_nothing(wire: Wire, tmp_path: Path) -> None:
    file = write(tmp_path, {"n": 1}, "", "{oops")

    with pytest.raises(CommandError, match=r"events\.jsonl:3: not JSON: "):
        publish(file)

    assert wire.sent == []


def test_publish_events_nested_too_deep_says_where(wire: Wire, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"events\.jsonl:1: not JSON: "):
        publish(write(tmp_path, "[" * 100_000))


@pytest.mark.parametrize("line", ["[]", "1", "null", '"text"'])
def test_publish_events_not_an_object_says_where(wire: Wire, tmp_path: Path, line: str) -> None:
    with pytest.raises(CommandError, match=r"events\.jsonl:2: not a JSON object$"):
        publish(write(tmp_path, {"n": 1}, line))


def test_publish_events_that_breaks_says_how_far_it_came(wire: Wire, tmp_path: Path) -> None:
    wire.breaks_after = 2

    with pytest.raises(CommandError, match=r"^published 2 of 4, then: Could not connect"):
        publish(write(tmp_path, *({"n": n} for n in range(4))))


@pytest.mark.parametrize(
    ("name", "line"),
    [("RIKOLTI_EVENTS_QUEUE_URL", {"Body": "x"}), ("RIKOLTI_EVENTS_TOPIC_ARNS", airflow_event())],
    ids=["queue", "topic"],
)
def test_publish_events_without_an_address(
    wire: Wire, tmp_path: Path, settings: Settings, name: str, line: object
) -> None:
    setattr(settings, name, "")

    with pytest.raises(CommandError, match=f"^{name} is not set"):
        publish(write(tmp_path, line))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rate", "0"),
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--rate", "fast"),
        ("--repeat", "0"),
        ("--repeat", "1.5"),
    ],
)
def test_publish_events_number_that_is_none(wire: Wire, tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(CommandError, match="is not a positive number"):
        publish(write(tmp_path, {}), f"{option}={value}")
