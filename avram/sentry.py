"""Reports of unforeseen errors to Sentry, where SENTRY_DSN is set. What is sent is on a list.

Sentry's own integrations would add requests, arguments, local variables, headers and users. What our log
entries say of an error goes along, cleaned as they are. A thread sends reports, from a bounded queue: a
Sentry that is away costs no task anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from structlog.contextvars import get_contextvars

from avram import logs
from avram.redaction import Redactor

#: What of a report is sent as it is. None of it comes from a message or a request.
_SENT = (
    "event_id",
    "timestamp",
    "platform",
    "level",
    "logger",
    "environment",
    "release",
    "sdk",
    "fingerprint",
    "transaction",
)
_SENT_OF_FRAME = (
    "filename",
    "abs_path",
    "module",
    "function",
    "lineno",
    "in_app",
    "pre_context",
    "context_line",
    "post_context",
)

#: What of the log's context reports can be searched by.
_TAGS = ("task", "task_id", "correlation_id", "request_id", "run_id")

#: What structlog and logging know of an entry, beside its fields.
_NO_FIELDS = ("event", "level", "logger", "timestamp", "exc_info", "stack_info")

#: Entries of the log that came before an error, and are told with it.
MAX_BREADCRUMBS = 20

#: Seconds that a process which ends waits for its last reports.
END_SECONDS = 2


def start(dsn: str, environment: str, release: str, secrets: Iterable[str]) -> None:
    """Report from now on what nobody foresaw: errors of requests and tasks, and errors in the log."""
    redactor = Redactor(secrets)
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda pending, timeout: None),  # its own prints a sentence
            CeleryIntegration(propagate_traces=False),  # nothing is added to a task's message
            DedupeIntegration(),
            DjangoIntegration(middleware_spans=False, signals_spans=False),
            ExcepthookIntegration(),
            LoggingIntegration(sentry_logs_level=None),
            ThreadingIntegration(propagate_scope=False),
        ],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        max_breadcrumbs=MAX_BREADCRUMBS,
        traces_sample_rate=None,
        trace_propagation_targets=[],
        auto_session_tracking=False,
        send_client_reports=False,
        shutdown_timeout=END_SECONDS,
        before_send=lambda event, hint: report(event, hint, redactor),  # type: ignore[arg-type, return-value]
        before_breadcrumb=breadcrumb,
    )


def report(event: Mapping[str, Any], hint: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return what is sent of a report."""
    sent = {key: event[key] for key in _SENT if event.get(key)}
    context = {**get_contextvars(), **logs.identity()}
    sent["tags"] = {key: redactor.text(str(context[key]), 200) for key in _TAGS if key in context}
    sent["tags"] |= logs.identity()
    if "exception" in event:
        values = (event["exception"] or {}).get("values") or []
        sent["exception"] = {"values": [_exception(value, redactor) for value in values]}
    entry = getattr(hint.get("log_record"), "msg", None)
    if isinstance(entry, dict):  # one of ours
        sent["logentry"] = {"message": str(entry.get("event"))}
        sent["extra"] = {
            key: redactor.named(key, value) for key, value in entry.items() if key not in _NO_FIELDS
        }
    elif "logentry" in event:  # the first line: below it, Celery quotes what it could not read
        formatted = event["logentry"].get("formatted") or event["logentry"].get("message") or ""
        sent["logentry"] = {"message": redactor.text(formatted.partition("\n")[0])}
    crumbs = (event.get("breadcrumbs") or {}).get("values") or []
    sent["breadcrumbs"] = {"values": list(crumbs)}
    return sent


def breadcrumb(crumb: Mapping[str, Any], hint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is kept of what came before an error: the names of our own entries, no fields."""
    entry = getattr(hint.get("log_record"), "msg", None)
    if not isinstance(entry, dict):
        return None
    kept = {key: crumb[key] for key in ("type", "level", "category", "timestamp") if key in crumb}
    return {**kept, "message": str(entry.get("event"))}


def _exception(value: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    frames = (value.get("stacktrace") or {}).get("frames") or []
    return {
        "type": value.get("type"),
        "module": value.get("module"),
        "value": redactor.text(str(value.get("value") or "")),
        "mechanism": {
            key: each
            for key, each in (value.get("mechanism") or {}).items()
            if key in ("type", "handled")
        },
        "stacktrace": {
            "frames": [{key: frame[key] for key in _SENT_OF_FRAME if key in frame} for frame in frames]
        },
    }
