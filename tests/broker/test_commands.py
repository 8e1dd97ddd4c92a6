"""The commands on the real wire, as a person runs them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.provision import DEAD_LETTERS, EVENTS, TASKS
from tests.broker.processes import wait_until
from tests.broker.wire import Wire
from tests.factories import airflow_event, sns_body


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output, no_color=True)
    return output.getvalue()


def write_lines(file: Path, *lines: str) -> str:
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


# --- setup_queues


def test_setup_queues_dry_run_does_nothing(wire: Wire) -> None:
    wire.remove_queues()

    output = run("setup_queues", "--dry-run")

    assert f"would     create queue {EVENTS}\n" in output
    assert wire.sqs.list_queues().get("QueueUrls", []) == []


def test_setup_queues_twice(wire: Wire) -> None:
    wire.remove_queues()

    first, second = run("setup_queues"), run("setup_queues")

    for name in (EVENTS, TASKS):
        assert f"did       create queue {name}\n" in first
        attributes = wire.attributes(name)
        redrive = json.loads(attributes["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"] == wire.attributes(name + DEAD_LETTERS)["QueueArn"]
    assert f"RIKOLTI_EVENTS_QUEUE_URL={wire.url(EVENTS)}\n" in first
    assert second.startswith("All is there already, nothing to do.")


def test_setup_queues_lets_the_topic_alone_send(wire: Wire) -> None:
    policy = json.loads(wire.attributes(EVENTS)["Policy"])

    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(":rikolti-events")


def test_setup_queues_leaves_existing_attributes_alone(wire: Wire) -> None:
    wire.sqs.set_queue_attributes(QueueUrl=wire.url(TASKS), Attributes={"VisibilityTimeout": "7"})

    output = run("setup_queues")
    assert "differs:  set VisibilityTimeout of queue avram-tasks to 300 (it is 7)" in output
    assert "--apply changes them" in output
    assert wire.attributes(TASKS)["VisibilityTimeout"] == "7"

    run("setup_queues", "--apply", "--dry-run")
    assert wire.attributes(TASKS)["VisibilityTimeout"] == "7"

    run("setup_queues", "--apply")
    assert wire.attributes(TASKS)["VisibilityTimeout"] == "300"


def test_setup_queues_keeps_what_others_may_do(wire: Wire) -> None:
    own = json.loads(wire.attributes(EVENTS)["Policy"])
    other = {"Sid": "Auditor", "Effect": "Allow", "Principal": "*", "Action": "sqs:GetQueueUrl"}
    wire.sqs.set_queue_attributes(
        QueueUrl=wire.url(EVENTS),
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [other]})},
    )

    run("setup_queues", "--apply")

    policy = json.loads(wire.attributes(EVENTS)["Policy"])
    assert policy["Statement"] == [other, *own["Statement"]]


def test_setup_queues_without_region_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)

    with pytest.raises(CommandError, match="You must specify a region"):
        run("setup_queues")


# --- publish_events and rikolti_status


def test_publish_and_drain(transactional_db: None, wire: Wire, tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "events.jsonl",
        json.dumps(airflow_event(dag_run_id="bare")),
        json.dumps(
            {
                "MessageId": "1",
                "ReceiptHandle": "2",
                "MD5OfBody": "3",
                "Body": sns_body(airflow_event(dag_run_id="recorded"), message_id="of the topic"),
            }
        ),
        json.dumps({"MessageId": "4", "Body": "not JSON"}),
        "",
    )

    assert run("publish_events", file) == "published 3 events\n"
    wait_until(lambda: wire.depths()[EVENTS] == 3, "three messages")
    output = run("rikolti_status", "--wait=1")

    assert output == ("3 messages: 2 events recorded, 0 seen before, 1 rejected; 2 runs (2 running)\n")
    assert wire.is_empty()
    assert HarvestEvent.objects.get(harvest_run__dag_run_id="recorded").message_id == "of the topic"
    assert RejectedMessage.objects.get().body == "not JSON"
    assert run("rikolti_status", "--wait=0") == (
        "0 messages: 0 events recorded, 0 seen before, 0 rejected; 0 runs\n"
    )


def test_publish_repeated_and_shuffled(transactional_db: None, wire: Wire, tmp_path: Path) -> None:
    lines = [
        json.dumps({"Body": sns_body(airflow_event(dag_run_id=f"run {index}"))}) for index in range(30)
    ]
    file = write_lines(tmp_path / "events.jsonl", *lines)

    run("publish_events", file, "--repeat=2", "--shuffle", "--seed=1", "--rate=2000")
    output = run("rikolti_status", "--wait=1")

    assert "60 messages: 30 events recorded, 30 seen before, 0 rejected; 30 runs" in output
    assert HarvestRun.objects.filter(status="running").count() == 30


def test_drain_without_queue_says_so(transactional_db: None, wire: Wire) -> None:
    wire.remove_queues()

    with pytest.raises(CommandError, match="the queue failed"):
        run("rikolti_status", "--wait=0")


def test_publish_without_queue_says_how_far_it_came(wire: Wire, tmp_path: Path) -> None:
    wire.remove_queues()
    file = write_lines(tmp_path / "events.jsonl", json.dumps({"Body": "x"}))

    with pytest.raises(CommandError, match="published 0 of 1, then: "):
        run("publish_events", file)
