"""The list of runs: what runs, what failed and why, by newest event."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest.admin import parts
from harvest.admin.live import LiveListAdmin
from harvest.admin.longlists import ValuesFilter
from harvest.admin.runfilters import (
    CampusFilter,
    DaysFilter,
    ErrorsFilter,
    FailedFilter,
    StandingFilter,
    WithinFilter,
)
from harvest.airflow import run_page
from harvest.airflow_api import version_of
from harvest.models import HarvestRun
from harvest.searching import meanings_of_run, search


class RunListAdmin(LiveListAdmin[HarvestRun]):
    list_display = (
        "status_word",
        "collection_name",
        "dag_id",
        "why_failed",
        "tasks",
        "logical",
        "started",
        "last_event",
        "took",
        "status_source",
        "airflow",
    )
    list_display_links = ("status_word",)
    list_filter = (
        "status",
        StandingFilter,
        ErrorsFilter,
        FailedFilter,
        WithinFilter,
        ("last_heard_at", DaysFilter),
        ("dag_id", ValuesFilter),
        CampusFilter,
        ("host", ValuesFilter),
        "status_source",
    )
    list_filter_submit = True  # of the days, which are written
    list_fullwidth = True
    list_select_related = ("collection",)
    search_fields = ("conf_collection_id", "collection__name", "dag_run_id", "failure_reason")
    search_help_text = _(
        "a collection's id or name; how a DAG run id begins; a task's id, in the newest 500 runs; text "
        "of an error as it is written, in the newest 500 errors"
    )
    sortable_by = ("status_word", "collection_name", "dag_id", "last_event")
    show_facets = admin.ShowFacets.NEVER  # They count all runs, for each choice of each filter.

    def of_list(self, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.defer("dag_run_conf", "airflow_note")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestRun], search_term: str
    ) -> tuple[QuerySet[HarvestRun], bool]:
        return search(queryset, search_term, meanings_of_run), False

    @admin.display(description=_("status"), ordering="status")
    def status_word(self, run: HarvestRun) -> SafeString:
        return parts.status_word(run)

    @admin.display(description=_("collection"), ordering="collection__name")
    def collection_name(self, run: HarvestRun) -> SafeString | str:
        if run.collection is not None:
            return parts.page_link(run.collection)
        if run.conf_collection_id is not None:
            return gettext("%d, not in the registry") % run.conf_collection_id
        return parts.EMPTY

    @admin.display(description=_("why it failed"))
    def why_failed(self, run: HarvestRun) -> str:
        return parts.why_failed(run)

    @admin.display(description=_("tasks"))
    def tasks(self, run: HarvestRun) -> SafeString | str:
        if not (run.tasks_done or run.tasks_failed):
            return parts.EMPTY
        done = gettext("%d done") % run.tasks_done
        if not run.tasks_failed:
            return done
        return format_html("{}, {}", done, parts.failure_word(gettext("%d failed") % run.tasks_failed))

    @admin.display(description=_("logical date"))
    def logical(self, run: HarvestRun) -> SafeString | str:
        return parts.moment(run.logical_date)

    @admin.display(description=_("started"))
    def started(self, run: HarvestRun) -> SafeString | str:
        return parts.moment(run.airflow_started_at or run.first_event_at)

    @admin.display(description=_("last event"), ordering="last_heard_at")
    def last_event(self, run: HarvestRun) -> SafeString | str:
        return parts.moment(run.last_heard_at)

    @admin.display(description=_("took"))
    def took(self, run: HarvestRun) -> str:
        """From its start to its end, or to now while it runs; of a silent one nobody knows."""
        start = run.airflow_started_at or run.first_event_at
        silent = run.stale_since or run.lost_since
        if start is None or (silent and run.status == HarvestRun.Status.RUNNING):
            return parts.EMPTY
        end = run.airflow_ended_at or run.last_heard_at
        return parts.duration((timezone.now() if run.status == run.Status.RUNNING else end) - start)

    @admin.display(description=_("Airflow"))
    def airflow(self, run: HarvestRun) -> SafeString | str:
        return parts.external_link(run_page(run.key, version_of(run.host)), gettext("open"))
