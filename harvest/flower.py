"""Who may open Flower, and what it reads: checked before it starts (flowerconfig.py asks here)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

#: Seconds after Flower's start in which it is no news that no worker answers: most start with it.
STARTING_SECONDS = 60


class QuietStart(logging.Filter):
    """Leaves out that no worker answered Flower when it started, which asks once, and then by its pages.

    It is for the log of Flower's inspector.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._started = clock, clock()

    def filter(self, record: logging.LogRecord) -> bool:
        nobody_answered = record.msg == "Inspect method %s failed"  # Other failures have a reason there.
        return not nobody_answered or self._clock() - self._started > STARTING_SECONDS


def logins(environ: Mapping[str, str]) -> list[str]:
    """Return the logins of Flower, each as ``user:password``, from the environment.

    FLOWER_USER and FLOWER_PASSWORD are one, FLOWER_BASIC_AUTH may be several, with commas between.
    None is enough only in DEBUG.

    Raises:
        ImproperlyConfigured: Flower must not start. One sentence, without the password.
    """
    if not settings.MONITOR_BROKER_URL:
        raise ImproperlyConfigured(
            "MONITOR_BROKER_URL is not set: without it there is nothing that Flower could show."
        )
    user, password = environ.get("FLOWER_USER", ""), environ.get("FLOWER_PASSWORD", "")
    found = [login for login in environ.get("FLOWER_BASIC_AUTH", "").split(",") if login]
    if bool(user) != bool(password) or ":" in user:
        raise ImproperlyConfigured(
            "FLOWER_USER and FLOWER_PASSWORD are a login together, and a user has no colon."
        )
    if user:
        found.append(f"{user}:{password}")
    if not all(login.isascii() for login in found):  # Flower answers with an error then
        raise ImproperlyConfigured("A login of Flower has characters that are not ASCII.")
    if not all(login.partition(":")[0] and login.partition(":")[2] for login in found):
        raise ImproperlyConfigured("FLOWER_BASIC_AUTH is not user:password, or several with commas.")
    if not found and not settings.DEBUG:
        raise ImproperlyConfigured(
            "Flower has no login: set FLOWER_USER and FLOWER_PASSWORD, since it can end workers."
        )
    return found
