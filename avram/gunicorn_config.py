"""What `python -m avram web` gives gunicorn to read: its log goes the way of all others.

Its names are gunicorn's. What is logged of a request is request_answered, which says more, and no query:
the settings silence gunicorn's own access log.
"""

from django.conf import settings

from avram import logs

logs.identify("web")
logconfig_dict = settings.LOGGING
