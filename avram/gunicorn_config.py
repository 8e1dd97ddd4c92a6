"""What `python -m avram web` gives gunicorn to read: its log goes the way of all others.

Its names are gunicorn's. The access log stays off: request_answered says more, and no query.
"""

from django.conf import settings

from avram import logs

logs.identify("web")
logconfig_dict = settings.LOGGING
