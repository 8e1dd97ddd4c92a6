"""What Flower reads when it starts in this folder: `celery -A celery_app:monitor flower`.

Its names are Flower's options. They go before the environment's, and behind the command line's.
"""

import os
import sys
from logging import getLogger  # `logging` itself is the name of an option

from django.core.exceptions import ImproperlyConfigured

from avram import logs, variables
from harvest.flower import QuietStart, logins

logs.identify("flower")
try:
    basic_auth = logins(os.environ)
except ImproperlyConfigured as error:
    sys.exit(str(error))

# Tasks that it remembers, some 6 KB each: with its own default of 100,000 it would grow for weeks. The
# admin has the results of all, for a week.
max_tasks = 2_000

# By itself Flower would listen on every address.
address = variables.FLOWER_ADDRESS.read()

getLogger("flower.inspector").addFilter(QuietStart())
