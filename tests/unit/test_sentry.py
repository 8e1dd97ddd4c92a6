"""Reports to Sentry: of what nobody foresaw, once, with what helps to find it, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from avram.environment import ROOT
from tests.environment import free_port
from tests.sentry_server import SentryServer

SECRET, MARKER = "s3cr3t-of-the-tests", "m4rk3r"

#: As a worker or a web process begins; what goes wrong follows.
START = """
import django; django.setup()
import celery_app, structlog
from django.db import OperationalError
from harvest import recording, tasks
from harvest.tasks import record_event, recompute_run_status
log = structlog.stdlib.get_logger("harvest.of_the_tests")
"""

TASK = f"""
from celery.app import trace
from celery.canvas import Signature

def fail(run_id): raise OperationalError({MARKER!r})
recording.recompute = fail
Signature.apply_async = lambda *args, **options: None  # the next try

def work(task, *args):
    request = {{"id": "1d", "root_id": "r00t", "args": args, "kwargs": {{}}, "retries": 0}}
    trace.build_tracer(task.name, task, app=task.app)("1d", args, {{}}, request)

log.info("before_it", said={MARKER!r})
work(recompute_run_status, 1)
work(record_event, [{{"Body": {MARKER!r}}}])
log.warning("after_it")
"""

LOGGED = f"""
try: raise RuntimeError("of {SECRET}-key")
except RuntimeError: log.exception("something_failed", queue="events", password={MARKER!r})
log.error("something_odd", queue="tasks", many=list(range(1000)))
log.warning("something_expected")
import logging
logging.getLogger("celery.worker.consumer.consumer").error("Unknown task\\n" + {MARKER!r})
"""

REQUEST = f"""
from django.contrib.admin.sites import AdminSite
from django.test import Client
def login(self, request, *args):
    password = {MARKER!r}
    raise RuntimeError("a page fails")
AdminSite.login = login
Client(raise_request_exception=False, headers={{"Authorization": "Token {MARKER}"}}).post(
    "/admin/login/?q={MARKER}", {{"password": {MARKER!r}}}, secure=True,
    headers={{"X-Request-ID": "request-1"}},
)
"""


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    with closing(SentryServer()) as server:
        yield server


def run(program: str, dsn: str, **variables: str) -> str:
    """Run a program in a process of ours. Return its log."""
    result = subprocess.run(
        [sys.executable, "-c", START + program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={
            "SECRET_KEY": f"{SECRET}-key", "DJANGO_SETTINGS_MODULE": "avram.settings",
            "ALLOWED_HOSTS": "testserver", "SENTRY_DSN": dsn, "SENTRY_ENVIRONMENT": "tests",
            "AVRAM_VERSION": "c0ffee",
            "DATABASE_URL": f"postgresql://avram:{SECRET}@127.0.0.1:{free_port()}/avram", **variables,
        },
    )  # fmt: skip
    return result.stderr


def assert_nothing_else_is_sent(sentry: SentryServer) -> None:
    for envelope in sentry.received:
        assert MARKER not in envelope
        assert SECRET not in envelope
    for event in sentry.events:
        assert event.keys().isdisjoint(
            {"request", "user", "modules", "server_name", "contexts", "threads"}
        )
        for one in event.get("exception", {}).get("values", []):
            assert all("vars" not in frame for frame in one["stacktrace"]["frames"])


def only(sentry: SentryServer) -> dict[str, Any]:
    (event,) = sentry.events
    return event


def test_error_of_a_task_arrives_once_and_one_that_is_retried_never(sentry: SentryServer) -> None:
    log = run(TASK, sentry.dsn)

    event = only(sentry)
    (error,) = event["exception"]["values"]
    assert error["type"] == "KeyError"
    assert error["stacktrace"]["frames"][-1]["function"] == "from_task"
    assert event["environment"] == "tests"
    assert event["release"] == "c0ffee"
    assert event["tags"]["task"] == "harvest.record_event"
    assert event["tags"]["task_id"] == "1d"
    assert event["tags"]["correlation_id"] == "r00t"
    assert "extra" not in event
    assert_nothing_else_is_sent(sentry)
    entries = {entry["event"]: entry for entry in map(json.loads, log.splitlines())}
    assert entries["task_retried"]["correlation_id"] == "r00t"
    assert entries["task_failed"]["task"] == "harvest.record_event"
    assert "correlation_id" not in entries["after_it"]


def test_error_of_the_log_arrives_by_its_name(sentry: SentryServer) -> None:
    run(LOGGED, sentry.dsn)

    events = {event["logentry"]["message"]: event for event in sentry.events}
    assert events.keys() == {"something_failed", "something_odd", "Unknown task"}
    failed, odd = events["something_failed"], events["something_odd"]
    assert failed["extra"] == {"queue": "events", "password": "[cut]"}
    assert failed["exception"]["values"][0]["value"] == "of [cut]"
    assert [crumb["message"] for crumb in odd["breadcrumbs"]["values"]] == ["something_failed"]
    assert len(odd["extra"]["many"]) < 1000
    assert_nothing_else_is_sent(sentry)


def test_error_of_a_request_arrives_without_the_request(sentry: SentryServer) -> None:
    log = run(REQUEST, sentry.dsn)

    event = only(sentry)
    assert event["exception"]["values"][0]["value"] == "a page fails"
    assert event["tags"]["request_id"] == "request-1"
    assert_nothing_else_is_sent(sentry)
    assert MARKER not in log
    assert SECRET not in log


def test_sentry_that_does_not_answer_stops_nothing() -> None:
    with closing(SentryServer(hangs=True)) as sentry:
        log = run(LOGGED + 'log.warning("still_here")', sentry.dsn)

    assert "still_here" in log
    assert "sentry" not in log.lower()
