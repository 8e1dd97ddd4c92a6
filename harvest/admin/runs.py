"""Harvest runs: the list that answers what runs, what failed and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Right
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import limits, recording
from harvest.admin import parts
from harvest.admin.longlists import ValuesFilter, search
from harvest.admin.runpage import RunPage
from harvest.airflow import run_page
from harvest.models import Collection, HarvestEvent, HarvestRun

#: Digits of a collection's id. More are no number to any database.
MAX_COLLECTION_DIGITS = 10


class StaleFilter(admin.SimpleListFilter):
    title = _("staleness")
    parameter_name = "stale"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", gettext("stale")), ("no", gettext("not stale"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        if self.value() is None:
            return queryset
        return queryset.filter(stale_since__isnull=self.value() == "no")


@admin.register(HarvestRun)
class HarvestRunAdmin(RunPage):
    """Runs as the pipeline knows them. A person changes nothing but the status, by a decision."""

    list_display = (
        "status_word",
        "collection_name",
        "why_failed",
        "dag_id",
        "last_heard_at",
        "logical_date",
        "status_source",
        "airflow",
    )
    list_display_links = ("status_word",)
    list_filter = ("status", StaleFilter, ("dag_id", ValuesFilter), "status_source", "last_heard_at")
    list_select_related = ("collection",)
    search_fields = ("conf_collection_id", "collection__name", "dag_run_id")
    search_help_text = _("a collection's id or name, or how a DAG run id begins")
    actions = ("recompute",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[HarvestRun]:
        newest_error = HarvestEvent.objects.filter(harvest_run=OuterRef("pk"), error=True)
        # Their ends, as text: a stranger's may be of any type and length.
        exception = Right(KeyTextTransform("exception", "rikolti_message"), limits.MAX_FETCHED)
        reason = Right(KeyTextTransform("reason", "rikolti_message"), limits.MAX_FETCHED)
        return (
            super()
            .get_queryset(request)
            .annotate(
                exception=Subquery(
                    newest_error.filter(rikolti_message__has_key="exception")
                    .order_by("-sns_timestamp")
                    .values_list(exception)[:1]
                ),
                reason=Subquery(newest_error.order_by("-sns_timestamp").values_list(reason)[:1]),
            )
        )

    def of_list(self, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.defer("dag_run_conf")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestRun], search_term: str
    ) -> tuple[QuerySet[HarvestRun], bool]:
        return search(queryset, search_term, _meanings)

    @admin.action(description=_("Recompute the status from the events"), permissions=["change"])
    def recompute(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> None:
        run_ids: Iterable[int] = queryset.values_list("pk", flat=True)
        runs = [recording.mark_stale(run_id) for run_id in run_ids]
        self.message_user(
            request,
            ngettext("%d run is up to date.", "%d runs are up to date.", len(runs)) % len(runs),
            messages.SUCCESS,
        )

    # --- what is shown ---

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
        if run.status != HarvestRun.Status.FAILED:
            return parts.EMPTY
        return parts.one_line(
            getattr(run, "exception", None) or getattr(run, "reason", None) or gettext("not said")
        )

    @admin.display(description=_("Airflow"))
    def airflow(self, run: HarvestRun) -> SafeString | str:
        return parts.external_link(run_page(run.key), gettext("open"))


def _meanings(word: str) -> tuple[Q, ...]:
    named = Collection.objects.filter(name__icontains=word)
    meanings = Q(collection__in=named), Q(dag_run_id__startswith=word)
    if word.isdecimal() and len(word) <= MAX_COLLECTION_DIGITS:
        unlinked = Q(collection=None, conf_collection_id=word)
        return Q(collection=word) | unlinked, *meanings
    return meanings
