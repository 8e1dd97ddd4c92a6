"""What Django's system checks say of the settings: before a command runs, and when a worker starts.

They ask nobody: what only the database or AWS can tell is asked by ``manage.py doctor``, and what the
queues' settings would lose by each worker that starts (``harvest.startcheck``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured


@register("harvest")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Look at the settings that say whose messages are believed, and what would lose them."""
    # Where no queue is named yet, there is nothing to take from any topic.
    return [*_check_origin(takes=bool(settings.RIKOLTI_EVENTS_QUEUE_URL)), *_check_keeping()]


def check_worker() -> list[CheckMessage]:
    """Return what is doubtful about a worker. It records, also what the consumers of others take.

    Raises:
        ImproperlyConfigured: it must not start. Says why, and what to do.
    """
    if settings.RIKOLTI_CONSUMER and not settings.RIKOLTI_EVENTS_QUEUE_URL:
        raise ImproperlyConfigured(
            "RIKOLTI_EVENTS_QUEUE_URL is not set. Set it, or RIKOLTI_CONSUMER=0 for a worker that "
            "only runs tasks."
        )
    problems = [*_check_origin(takes=True), *_check_keeping()]
    for problem in problems:
        if problem.is_serious():
            raise ImproperlyConfigured(f"{problem.msg} {problem.hint or ''}".strip())
    return problems


def _check_origin(*, takes: bool) -> Iterator[CheckMessage]:
    if settings.RIKOLTI_VERIFY_SIGNATURES:
        if takes and not settings.RIKOLTI_EVENTS_TOPIC_ARNS:
            yield Error(
                "RIKOLTI_EVENTS_TOPIC_ARNS is not set, so that every message would be rejected.",
                hint="Set it to the ARN of Rikolti's topic, or RIKOLTI_VERIFY_SIGNATURES=0.",
                id="harvest.E002",
            )
    elif not settings.DEBUG:
        yield Warning(
            "RIKOLTI_VERIFY_SIGNATURES is off: whatever is on the queue is believed, whoever sent it.",
            hint="Unset it, and set RIKOLTI_EVENTS_TOPIC_ARNS.",
            id="harvest.W001",
        )


def _check_keeping() -> Iterator[CheckMessage]:
    """Look for what takes messages and keeps them where nobody looks."""
    queues = {
        "RIKOLTI_EVENTS_QUEUE_URL": settings.RIKOLTI_EVENTS_QUEUE_URL,
        "AVRAM_TASKS_QUEUE_URL": settings.AVRAM_TASKS_QUEUE_URL,
    }
    if settings.DEBUG:
        for name, url in queues.items():
            if is_amazon(url):
                yield Error(
                    f"{name} is a queue of Amazon's, and DEBUG is on: what this process takes from it "
                    "is missing where it belongs.",
                    hint="Unset DEBUG, or use the local AWS of make run.",
                    id="harvest.E003",
                )
    elif "sqlite3" in settings.DATABASES["default"]["ENGINE"]:
        yield Warning(
            "The database is a file of SQLite: web, workers and beat of another host would have one of "
            "their own, and each a part of the events.",
            hint="Set DATABASE_URL to a PostgreSQL, unless all processes are on one host.",
            id="harvest.W002",
        )


def is_amazon(url: str) -> bool:
    """Return whether a URL is of the real AWS, in any of its partitions."""
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
