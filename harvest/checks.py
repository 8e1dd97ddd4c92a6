"""What Django's system checks say of the settings: before a command runs, and when a consumer starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from harvest.signing import sns_host


@register("harvest")
def check_origin(**kwargs: Any) -> list[CheckMessage]:
    """Look at the settings that say whose messages are believed."""
    return list(_find_problems())


def _find_problems() -> Iterator[CheckMessage]:
    for topic_arn in settings.RIKOLTI_EVENTS_TOPIC_ARNS:
        try:
            sns_host(topic_arn)
        except ValueError as error:
            yield Error(f"RIKOLTI_EVENTS_TOPIC_ARNS: {error}.", id="harvest.E001")
    if settings.RIKOLTI_VERIFY_SIGNATURES:
        # Where no queue is named yet, there is nothing to take from any topic.
        if settings.RIKOLTI_EVENTS_QUEUE_URL and not settings.RIKOLTI_EVENTS_TOPIC_ARNS:
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
