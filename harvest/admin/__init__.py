"""The registry's pages, one file a family. Read-only where the pipeline writes.

All of them are in the theme that avram/theme.py sets up, those too that other packages bring.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from harvest.admin import (
    events,
    notices,
    people,
    registry,
    rejected,
    results,
    runs,
    schedules,
    subscriptions,
)

__all__ = [
    "events",
    "notices",
    "people",
    "registry",
    "rejected",
    "results",
    "runs",
    "schedules",
    "subscriptions",
]

admin.site.index_title = _("Harvests and how they go")
