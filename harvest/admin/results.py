"""Task results: the pages of django-celery-results, made for a table that is never small."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_celery_results.admin import GroupResultAdmin, TaskResultAdmin
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin

from harvest.admin import parts
from harvest.admin.longlists import ValuesFilter, newest

admin.site.unregister((TaskResult, GroupResult))


@admin.register(TaskResult)
class LongTaskResultAdmin(parts.ReadOnlyAdmin[TaskResult], TaskResultAdmin):
    date_hierarchy = None  # type: ignore[assignment] # It reads all dates, on every page.
    list_filter = (  # type: ignore[assignment]
        "date_done",
        *((name, ValuesFilter) for name in ("status", "task_name", "periodic_task_name", "worker")),
    )
    search_help_text = _("a task id, or text of the name, state or arguments of the newest 500")
    show_facets = admin.ShowFacets.NEVER

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskResult], search_term: str
    ) -> tuple[QuerySet[TaskResult], bool]:
        if search_term:
            named = queryset.filter(task_id=search_term.strip())
            if named.exists():
                return named, False
            queryset = newest(queryset, "date_done")
        return super().get_search_results(request, queryset, search_term)

    def has_delete_permission(self, request: HttpRequest, obj: TaskResult | None = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


@admin.register(GroupResult)
class ThemedGroupResultAdmin(ModelAdmin, GroupResultAdmin):
    pass
