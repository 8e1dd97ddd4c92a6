"""Celery's worker and beat, without what Celery's own command line loads besides.

That is a shell and every command that any package adds to it, Flower with all of Tornado among them:
17 MB in each process, and a quarter of the time that it takes to start.
"""

from __future__ import annotations

import os
import sys

from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

from avram import variables
from celery_app import app

COMMANDS = {"worker": worker, "beat": beat}


def main() -> None:
    name, *options = sys.argv[1:]
    sys.argv[0:1] = ["-m", "avram.celeryprocess"]  # what a worker runs that is to begin anew (SIGHUP)
    # Celery's banner is for people, and no line of a log.
    quiet = variables.LOG_FORMAT.read() == "json"
    context = CLIContext(app, no_color="NO_COLOR" in os.environ, workdir=None, quiet=quiet)
    COMMANDS[name].main(options, prog_name=f"python -m avram {name}", obj=context)


if __name__ == "__main__":
    main()
