"""What may end in a log or an error says nothing of a message's content."""

from __future__ import annotations

import logging

import pytest
from celery.worker.consumer import consumer

from harvest.airflow import parse_event
from harvest.batching import group_by_run
from harvest.sns import parse_notification
from tests.factories import message

SECRET = "s3cr3t"


def test_reprs_hold_no_content() -> None:
    content = {"token": SECRET}
    sent = message(dag_run_conf=content, rikolti_message=content, unknown_key=SECRET)
    notification = parse_notification(sent)
    event = parse_event(notification)
    assert event.rikolti_message == content

    for shown in (sent, notification, event, *group_by_run([sent])):
        assert SECRET not in repr(shown)
        assert SECRET not in str(shown)


@pytest.mark.parametrize(
    "name", ["INVALID_TASK_ERROR", "MESSAGE_DECODE_ERROR", "UNKNOWN_FORMAT", "UNKNOWN_TASK_ERROR"]
)
def test_celery_logs_no_body(name: str, caplog: pytest.LogCaptureFixture) -> None:
    text: str = getattr(consumer, name)
    arguments = ["what is wrong"] * (text.count("%") - 1)

    logging.getLogger(consumer.__name__).error(text, *arguments, SECRET)

    assert "\n" not in caplog.messages[0]
    assert SECRET not in caplog.text
