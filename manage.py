#!/usr/bin/env python
"""Django's command line, with the same environment as `make run`."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from avram import logs
from avram.environment import load_local_parts

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")
    load_local_parts()
    # A command talks to a person, or to cron, which mails what it says.
    os.environ.setdefault("LOG_LEVEL", "warning")
    logs.identify("manage")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
