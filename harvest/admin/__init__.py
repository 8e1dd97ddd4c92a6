"""The registry's pages, one file a family. Read-only where the pipeline writes.

All of them are in the theme that avram/theme.py sets up, those too that other packages bring.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from harvest.admin import (
    collections,
    events,
    notices,
    people,
    queues,
    rejected,
    results,
    runs,
    schedules,
    subscriptions,
    triggers,
)

__all__ = [
    "collections",
    "events",
    "notices",
    "people",
    "queues",
    "rejected",
    "results",
    "runs",
    "schedules",
    "subscriptions",
    "triggers",
]

admin.site.index_template = "harvest/front.html"
admin.site.index_title = _("Harvests and how they go")
