"""Flower's login, and the commands that workers take."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from harvest import remotecommands
from harvest.flower import STARTING_SECONDS, QuietStart, logins
from harvest.remotecontrol import Command


@pytest.fixture
def production(settings: Settings) -> None:
    settings.DEBUG = False
    settings.MONITOR_BROKER_URL = "redis://127.0.0.1/0"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"FLOWER_USER": "a", "FLOWER_PASSWORD": "b,:c"}, ["a:b,:c"]),
        ({"FLOWER_BASIC_AUTH": "a:b,c:d"}, ["a:b", "c:d"]),
        ({"FLOWER_BASIC_AUTH": "a:b", "FLOWER_USER": "c", "FLOWER_PASSWORD": "d"}, ["a:b", "c:d"]),
    ],
)
def test_login_of_flower(production: None, environ: dict[str, str], found: list[str]) -> None:
    assert logins(environ) == found


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"FLOWER_USER": "a"},
        {"FLOWER_PASSWORD": "s3cr3t"},
        {"FLOWER_USER": "a:b", "FLOWER_PASSWORD": "s3cr3t"},
        {"FLOWER_USER": "a", "FLOWER_PASSWORD": "s3cr3té"},
        {"FLOWER_BASIC_AUTH": "s3cr3t"},
        {"FLOWER_BASIC_AUTH": ":s3cr3t"},
        {"FLOWER_BASIC_AUTH": "a:b,c:"},
    ],
)
def test_flower_without_a_sound_login_does_not_start(production: None, environ: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        logins(environ)

    assert "s3cr3t" not in str(error.value)


def test_flower_without_a_broker_does_not_start(settings: Settings) -> None:
    settings.MONITOR_BROKER_URL = ""

    with pytest.raises(ImproperlyConfigured, match="MONITOR_BROKER_URL is not set"):
        logins({"FLOWER_USER": "a", "FLOWER_PASSWORD": "b"})


def test_command_is_read() -> None:
    reply_to = {"exchange": "elsewhere", "routing_key": "key"}
    body = {"method": "ping", "destination": ["a@b"], "reply_to": reply_to, "ticket": "t"}

    assert Command.parse(body) == Command("ping", {}, ("a@b",), ("key", "t"))


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"method": 1},
        {"method": "x" * 256},
        {"method": "ping", "arguments": "x"},
        {"method": "ping", "destination": "a@b"},
        {"method": "ping", "pattern": "*", "matcher": "pcre"},
        {"method": "ping", "reply_to": "x"},
        {"method": "ping", "reply_to": {"routing_key": "key"}, "ticket": None},
    ],
)
def test_command_of_another_form_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match=r"it|its|workers"):
        Command.parse(body)


@pytest.mark.parametrize("limit", ["1/m", "x", "-1", "nan", "inf", None, [], "1" * 21, {"a": 1}, "1/y"])
def test_rate_that_would_hold_tasks_too_long_or_is_none_is_refused(limit: Any) -> None:
    task = SimpleNamespace(rate_limit=None)
    app = SimpleNamespace(tasks={"harvest.record_event": task})
    worker = SimpleNamespace(app=app, initial_prefetch_count=8)

    answer = remotecommands.run(
        worker, "rate_limit", {"task_name": "harvest.record_event", "rate_limit": limit}
    )

    assert "error" in answer
    assert task.rate_limit is None


def test_that_no_worker_answers_is_no_warning_while_they_start() -> None:
    now = [0.0]
    quiet = QuietStart(clock=lambda: now[0])

    def said(text: str) -> bool:
        return bool(quiet.filter(logging.LogRecord("", logging.WARNING, "", 1, text, ("stats",), None)))

    assert not said("Inspect method %s failed")
    assert said("Inspect method %s failed: %s")  # with a reason
    now[0] = STARTING_SECONDS + 1
    assert said("Inspect method %s failed")
