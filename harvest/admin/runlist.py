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

from harvest.admin import moments, parts
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
from harvest.airflow_api import version_of
from harvest.airflowpages import run_page
from harvest.models import HarvestRun
from harvest.searching import meanings_of_run, search

#: What a status rests on, in the few words that there is room for.
SOURCES = {
    HarvestRun.StatusSource.EVENTS: _("by its events"),
    HarvestRun.StatusSource.AIRFLOW: _("by Airflow"),
    HarvestRun.StatusSource.PERSON: _("by hand"),
}


class RunListAdmin(LiveListAdmin[HarvestRun]):
    list_display = (
        "status_word",
        "what",
        "why_failed",
        "tasks",
        "started",
        "last_event",
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
    sortable_by = ("status_word", "what", "last_event")
    show_facets = admin.ShowFacets.NEVER  # They count all runs, for each choice of each filter.

    def of_list(self, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.defer("dag_run_conf", "airflow_note")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestRun], search_term: str
    ) -> tuple[QuerySet[HarvestRun], bool]:
        return search(queryset, search_term, meanings_of_run), False

    # Two facts that belong together share a cell: all is seen on a small screen, beside the navigation.

    @admin.display(description=_("status"), ordering="status")
    def status_word(self, run: HarvestRun) -> SafeString:
        return _below(parts.status_word(run), str(SOURCES[HarvestRun.StatusSource(run.status_source)]))

    @admin.display(description=_("collection and DAG"), ordering="collection__name")
    def what(self, run: HarvestRun) -> SafeString:
        return _below(self._collection_of(run), run.dag_id)

    def _collection_of(self, run: HarvestRun) -> SafeString | str:
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

    @admin.display(description=_("started"))
    def started(self, run: HarvestRun) -> SafeString:
        logical = format_html("{} {}", gettext("logical"), moments.moment(run.logical_date, short=True))
        return _below(moments.moment(run.airflow_started_at or run.first_event_at, short=True), logical)

    @admin.display(description=_("last event"), ordering="last_heard_at")
    def last_event(self, run: HarvestRun) -> SafeString:
        took = _took(run)
        return _below(moments.moment(run.last_heard_at, short=True), took and gettext("took %s") % took)

    @admin.display(description=_("Airflow"))
    def airflow(self, run: HarvestRun) -> SafeString | str:
        return parts.external_link(run_page(run.key, version_of(run.host)), gettext("open"))


def _below(first: SafeString | str, second: SafeString | str) -> SafeString:
    """Return two facts, the second in small print below the first."""
    return format_html('<div><bdi>{}</bdi><div class="aside"><bdi>{}</bdi></div></div>', first, second)


def _took(run: HarvestRun) -> str:
    """From its start to its end, or to now while it runs; of a silent one nobody knows."""
    start = run.airflow_started_at or run.first_event_at
    silent = run.stale_since or run.lost_since
    running = run.status == HarvestRun.Status.RUNNING
    if start is None or (silent and running):
        return ""
    end = timezone.now() if running else run.airflow_ended_at or run.last_heard_at
    return moments.duration(end - start)
