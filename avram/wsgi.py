"""The web process's way in."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")
application = get_wsgi_application()

from avram import urls  # noqa: E402, F401 - a page that is broken stops the start, not a request
