"""How long an input may take, where it is tried in this process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds for one input, which takes a few milliseconds.
TIMEOUT = 10

#: Seconds for the inputs that are on pages together, which take two, and their pages.
PAGES_TIMEOUT = 60


class TooLong(BaseException):
    """Not an Exception, which the code under trial would take for one of its own and answer."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TooLong when the time is over: in a call of C code, which nothing interrupts, at its end."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
