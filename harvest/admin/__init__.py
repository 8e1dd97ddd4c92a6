"""The registry's pages, one file a family. Read-only where the pipeline writes.

All of them are in the theme that avram/theme.py sets up, those too that other packages bring.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from harvest.admin import (
    collections,
    events,
    people,
    queues,
    rejected,
    results,
    runs,
    schedules,
    triggers,
)

__all__ = [
    "collections",
    "events",
    "people",
    "queues",
    "rejected",
    "results",
    "runs",
    "schedules",
    "triggers",
]

admin.site.index_title = _("Harvests and how they go")
