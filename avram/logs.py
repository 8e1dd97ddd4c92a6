"""What is kept out of the logs."""

from __future__ import annotations

import logging


class FirstLine(logging.Filter):
    """Cuts a warning or an error to its first line.

    Of a task that it can't read or does not know, Celery logs the whole message: in the first line
    what is wrong, below it the body. A body may hold a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return True
