"""Collections and triggers: the registry's own."""

from __future__ import annotations

import unfold.admin
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest.admin import parts
from harvest.admin.longlists import ValuesFilter
from harvest.models import Collection, HarvestRun, HarvestTrigger


@admin.register(Collection)
class CollectionAdmin(unfold.admin.ModelAdmin, admin.ModelAdmin[Collection]):
    list_display = ("id", "name", "campuses", "harvest_type", "mapper_type", "runs")
    list_display_links = ("id", "name")
    list_filter = ("harvest_type", "mapper_type")
    search_fields = ("=id", "name", "slug__contains")
    search_help_text = _("collection id, name or slug")
    list_per_page = 50

    def get_readonly_fields(
        self, request: HttpRequest, obj: Collection | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("id", "runs")

    @admin.display(description=_("campuses"))
    def campuses(self, collection: Collection) -> str:
        names = collection.campus_names
        return ", ".join(map(str, names)) if isinstance(names, list) else str(names)

    @admin.display(description=_("runs"))
    def runs(self, collection: Collection) -> SafeString:
        url = reverse("admin:harvest_harvestrun_changelist")
        return format_html(
            '<a href="{}?collection__id__exact={}">{}</a>', url, collection.pk, gettext("show")
        )


@admin.register(HarvestTrigger)
class HarvestTriggerAdmin(parts.ReadOnlyAdmin[HarvestTrigger]):
    list_display = ("logical_date", "collection", "dag_id", "dag_run_id", "hostname", "run")
    list_filter = (("dag_id", ValuesFilter), "logical_date")
    list_select_related = ("collection",)
    search_fields = ("dag_run_id", "collection__name", "=collection__id")
    readonly_fields = ("run",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[HarvestTrigger]:
        runs = Prefetch("harvest_runs", HarvestRun.objects.defer("dag_run_conf"))
        return super().get_queryset(request).prefetch_related(runs)

    def of_list(self, queryset: QuerySet[HarvestTrigger]) -> QuerySet[HarvestTrigger]:
        return queryset.defer("stdout", "stderr")

    @admin.display(description=_("run"))
    def run(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.page_link(next(iter(trigger.harvest_runs.all()), None))
