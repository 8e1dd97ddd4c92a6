"""The log: structlog over the standard library's logging, so that all who log here say it in one way.

One stream (stderr), one line an entry: JSON, or in DEBUG a line to read. Our own entries are an event's
name and fields, which docs/logs.md lists. Those of others (Django, Celery, gunicorn) are a sentence.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from avram.redaction import MAX_TRACEBACK, Redactor

FORMATS = ("json", "console")
LEVELS = ("debug", "info", "warning", "error")

#: What stands first in each entry.
_FIRST = ("timestamp", "level", "logger", "event")
#: What structlog and the formatter know of an entry, and is none of its fields.
_META = ("_record", "_from_structlog")

#: Each says in an entry of its own what it did, so that Celery's word of its success is one too many.
_TELL_THEMSELVES = ("harvest.record_event", "harvest.recompute_run_status")

#: What this process is, in each entry: set once, when it starts, and inherited by its children.
_process: dict[str, str] = {}


def identify(process: str, **more: str) -> None:
    """Have each entry say what this process is: web, worker, beat, flower or manage."""
    _process.update(process=process, **more)


def identify_version(version: str) -> None:
    """Have each entry say which version of the code it is of."""
    _process["version"] = version


def identity() -> dict[str, str]:
    """Return what this process is, as far as it is known."""
    return dict(_process)


def configure_structlog() -> None:
    """Let our own loggers hand over to logging: name, fields and context, as they are."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _stamp,
            _hand_over,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def logging_config(format_: str, level: str, secrets: Iterable[str]) -> dict[str, Any]:
    """Return Django's LOGGING: also what Celery and gunicorn are configured with.

    ``format_`` is one of FORMATS, ``level`` one of LEVELS. ``secrets`` are cut wherever they turn up.
    """
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"entry": {"()": _formatter, "format_": format_, "secrets": list(secrets)}},
        "filters": {
            "first_line": {"()": "avram.logs.FirstLine"},
            "told_already": {"()": "avram.logs.ToldAlready"},
        },
        "handlers": {"stderr": {"()": "avram.logs.Handler", "formatter": "entry"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "axes": quiet,
            "botocore": quiet,
            "django": {"handlers": [], "propagate": True},  # in DEBUG it would say all twice
            # It warns of each page that is not there. request_answered says so.
            "django.request": {"level": "ERROR"},
            # gunicorn takes any configuration for a wish to log each request: query, address, referrer.
            "gunicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
            "gunicorn.error": {"handlers": [], "propagate": True},
            "kombu": quiet,
            "celery.app.trace": {"filters": ["told_already"]},
            "celery.worker.consumer.consumer": {"filters": ["first_line"]},
            "celery.worker.strategy": quiet,  # each task, received; its end is enough
        },
    }


class FirstLine(logging.Filter):
    """Cuts a warning or an error to its first line.

    Of a task that it can't read or does not know, Celery logs the whole message: in the first line
    what is wrong, below it the body. A body may hold a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return True


class ToldAlready(logging.Filter):
    """Leaves out that a task went well where the task has said so, and more."""

    def filter(self, record: logging.LogRecord) -> bool:
        data = getattr(record, "data", {})
        return "return_value" not in data or data.get("name") not in _TELL_THEMSELVES


class Handler(logging.StreamHandler[Any]):
    """Writes to stderr. Of an entry that can't be written it says so, and does not quote it."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[0]
        kind = error.__name__ if error else ""
        with suppress(Exception):  # stderr itself may be gone
            lost = {"level": "error", "event": "log_entry_lost", "logger": record.name, "error": kind}
            self.stream.write(f"{json.dumps(lost)}\n")


def _formatter(format_: str, secrets: Iterable[str]) -> ProcessorFormatter:
    redactor = Redactor(secrets)

    def clean(logger: WrappedLogger, name: str, entry: EventDict) -> EventDict:
        """Put an entry's fields in order, and clean them. The last that happens to it."""
        cleaned: EventDict = {key: redactor.text(str(entry.pop(key))) for key in _FIRST if key in entry}
        if cleaned.get("level") == "critical":  # a word of others: who waits for errors hears of it too
            cleaned["level"] = "error"
        cleaned.update(_process)
        cleaned["pid"] = os.getpid()
        traceback = entry.pop("exception", None)
        for key, value in entry.items():
            if key not in _META:
                cleaned[key] = redactor.named(key, value)
        if traceback:
            cleaned["exception"] = redactor.text(traceback, MAX_TRACEBACK)
        return cleaned

    renderers: list[Processor] = [structlog.processors.JSONRenderer()]
    if format_ == "console":
        renderers = [
            _on_one_line,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _stamp,
            _describe_task,
            _describe_request,
        ],
        processors=[structlog.processors.format_exc_info, clean, *renderers],
    )


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _hand_over(logger: Any, name: str, entry: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """Hand an entry over to logging. The exception goes with the record, for handlers beside ours."""
    if entry.get("exc_info") is True:
        entry["exc_info"] = sys.exc_info()
    args, options = ProcessorFormatter.wrap_for_formatter(logger, name, entry)
    return args, {**options, "exc_info": entry.get("exc_info")}


#: How Celery describes the end of a task that did not go well.
_ENDS = {
    "raised unexpected": "task_failed",
    "raised expected": "task_failed",
    "INTERNAL ERROR": "task_failed",
    "ignored": "task_ignored",
    "rejected": "task_rejected",
}


def _describe_task(logger: WrappedLogger, name: str, entry: EventDict) -> EventDict:
    """Give Celery's word of a task's end a name and fields. Of its arguments it says nothing."""
    data = getattr(entry["_record"], "data", None)
    if entry["logger"] != "celery.app.trace" or not isinstance(data, dict):
        return entry
    entry.setdefault("task", data.get("name"))
    entry.setdefault("task_id", data.get("id"))
    if "return_value" in data:
        entry["event"] = "task_succeeded"
        entry["result"] = data["return_value"]
        entry["seconds"] = round(data["runtime"], 3)
    else:
        entry["event"] = _ENDS.get(data.get("description", ""), "task_retried")
        entry["error"] = data.get("exc")
    return entry


def _describe_request(logger: WrappedLogger, name: str, entry: EventDict) -> EventDict:
    """Name the request in Django's word of one that went wrong."""
    if entry["logger"] == "django.request" and hasattr(entry["_record"], "status_code"):
        entry["event"] = "request_failed"
        request = getattr(entry["_record"], "request", None)
        entry["path"] = getattr(request, "path", "")
        entry["status"] = entry["_record"].status_code
    return entry


def _on_one_line(logger: WrappedLogger, name: str, entry: EventDict) -> EventDict:
    """Write characters that would move a terminal's cursor as escapes, but for those of a traceback."""
    for key, value in entry.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if key == "exception" else ""
            entry[key] = "".join(
                c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii")
                for c in value
            )
    return entry
