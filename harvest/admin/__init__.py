"""The registry's pages, one file a family. Read-only where the pipeline writes.

Schedules have the pages that django-celery-beat brings.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from harvest.admin import events, registry, rejected, results, runs

__all__ = ["events", "registry", "rejected", "results", "runs"]

admin.site.site_header = _("Avram, harvests")
admin.site.site_title = _("Avram")
admin.site.index_title = _("Harvests and how they go")
