"""Collections: how each stands, its runs, its versions, and what was started for it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest.admin import moments, parts
from harvest.admin.starting import TITLES, StartsRuns, start_url
from harvest.airflow import HARVEST
from harvest.airflow_api import version_of
from harvest.airflowpages import run_page
from harvest.models import Collection, HarvestEvent, HarvestRun, HarvestTrigger

#: How many of the newest runs and triggers the page of a collection shows: the others have lists.
SHOWN_RUNS = 20
SHOWN_TRIGGERS = 10

#: Of an id in an address. More are no number to any database.
MAX_DIGITS = 9

_STANDING = ("latest_status", "last_harvest", "production_target_version")
_OWN = ("id", "name", "slug", "campus_names", "harvest_type", "mapper_type")


@admin.register(Collection)
class CollectionAdmin(StartsRuns):
    list_display = (
        "id",
        "name",
        "campuses",
        "latest_status",
        "last_harvest",
        "production_target_version",
        "runs",
    )
    list_display_links = ("id", "name")
    list_filter = ("harvest_type", "mapper_type")
    search_fields = ("=id", "name", "slug__contains")
    search_help_text = _("collection id, name or slug")
    list_per_page = 50
    change_form_outer_before_template = "harvest/start_buttons.html"
    change_form_outer_after_template = "harvest/collection.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collection]:
        newest = HarvestRun.objects.filter(collection=OuterRef("pk")).order_by("-last_heard_at", "-pk")
        columns = ("pk", "status", "stale_since", "lost_since")
        return (
            super()
            .get_queryset(request)
            .annotate(
                **{f"latest_{column}": Subquery(newest.values(column)[:1]) for column in columns},
                harvested_at=Subquery(newest.filter(dag_id=HARVEST).values("last_heard_at")[:1]),
            )
        )

    def get_fields(self, request: HttpRequest, obj: Collection | None = None) -> tuple[str, ...]:
        return (*_STANDING, *_OWN) if obj is not None else (*_OWN, "production_target_version")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Collection | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("id", *_STANDING)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if object_id.isascii() and object_id.isdigit() and len(object_id) <= MAX_DIGITS:
            pk = int(object_id)
            if self.has_trigger_permission(request):
                context["starts"] = [
                    (title, start_url(action, [pk])) for action, title in TITLES.items()
                ]
            if request.user.has_perm("harvest.view_harvestrun"):
                context["runs_table"] = _runs_table(pk)
                context["versions_table"] = _versions_table(pk)
            if request.user.has_perm("harvest.view_harvesttrigger"):
                context["triggers_table"] = _triggers_table(pk)
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description=_("campuses"))
    def campuses(self, collection: Collection) -> str:
        names = collection.campus_names
        return ", ".join(map(str, names)) if isinstance(names, list) else str(names)

    @admin.display(description=_("latest status"))
    def latest_status(self, collection: Collection) -> SafeString | str:
        latest = getattr(collection, "latest_pk", None)
        if latest is None:
            return parts.EMPTY
        # What its word needs of the newest run.
        run = HarvestRun(
            pk=latest,
            status=getattr(collection, "latest_status", ""),
            stale_since=getattr(collection, "latest_stale_since", None),
            lost_since=getattr(collection, "latest_lost_since", None),
        )
        return parts.page_link(run, parts.status_word(run))

    @admin.display(description=_("last harvest"))
    def last_harvest(self, collection: Collection) -> str:
        return moments.moment(getattr(collection, "harvested_at", None))

    @admin.display(description=_("runs"))
    def runs(self, collection: Collection) -> SafeString:
        url = reverse("admin:harvest_harvestrun_changelist")
        return format_html(
            '<a href="{}?collection__id__exact={}">{}</a>', url, collection.pk, gettext("show")
        )


def _runs_table(pk: int) -> dict[str, Any]:
    runs = HarvestRun.objects.filter(collection=pk).order_by("-last_heard_at", "-pk")
    return {
        "headers": [
            _("status"),
            _("DAG"),
            _("logical date"),
            _("last event"),
            _("why it failed"),
            _("Airflow"),
        ],
        "rows": [
            [
                parts.page_link(run, parts.status_word(run)),
                run.dag_id,
                moments.moment(run.logical_date),
                moments.moment(run.last_heard_at),
                parts.why_failed(run),
                parts.external_link(run_page(run.key, version_of(run.host)), gettext("open")),
            ]
            for run in runs.defer("dag_run_conf", "airflow_note")[:SHOWN_RUNS]
        ],
    }


def _versions_table(pk: int) -> dict[str, Any]:
    production = Collection.objects.filter(pk=pk).values_list("production_target_version", flat=True)
    in_production = next(iter(production), "")
    versions = HarvestEvent.objects.versions_of([pk]).get(pk, [])
    return {
        "headers": [_("version"), _("in production")],
        "rows": [
            [version, "✔ " + gettext("in production") if version == in_production else parts.EMPTY]
            for version in versions
        ],
    }


def _triggers_table(pk: int) -> dict[str, Any]:
    triggers = HarvestTrigger.objects.filter(collection=pk).order_by("-logical_date")
    return {
        "headers": [_("state"), _("DAG"), _("logical date"), _("triggered by"), _("why not")],
        "rows": [
            [
                parts.page_link(made, parts.trigger_word(made)),
                made.dag_id,
                moments.moment(made.logical_date),
                str(made.user or parts.EMPTY),
                parts.one_line(made.stderr) or parts.EMPTY,
            ]
            for made in triggers.select_related("user").defer("stdout")[:SHOWN_TRIGGERS]
        ],
    }
