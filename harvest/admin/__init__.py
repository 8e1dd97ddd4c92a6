"""The registry's pages, one file a family. Read-only where the pipeline writes.

Task results and schedules have the pages that django-celery-results and django-celery-beat bring.
"""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from harvest.admin import events, registry, rejected, runs

__all__ = ["events", "registry", "rejected", "runs"]

admin.site.site_header = _("Avram, harvests")
admin.site.site_title = _("Avram")
admin.site.index_title = _("Harvests and how they go")
