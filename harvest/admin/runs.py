"""Harvest runs: the list that answers what runs, what failed and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.forms import ModelForm, TypedChoiceField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import recording
from harvest.admin import parts
from harvest.admin.longlists import ValuesFilter, search
from harvest.airflow import run_page
from harvest.models import Collection, HarvestRun
from harvest.reasons import reason_of, with_reasons

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
class HarvestRunAdmin(parts.ReadOnlyAdmin[HarvestRun]):
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
    fieldsets = (
        (
            None,
            {
                "fields": ("status", "status_note", "status_source", "status_set_at", "why_failed"),
                "description": _(
                    "Events decide the status. Set it by hand where they can't: your decision "
                    "stands until the run publishes a newer event."
                ),
            },
        ),
        (
            _("Run"),
            {
                "fields": (
                    "airflow",
                    "events",
                    "collection_name",
                    "trigger",
                    "dag_id",
                    "dag_run_id",
                    "logical_date",
                    "host",
                    "conf",
                )
            },
        ),
        (
            _("Time"),
            {"fields": ("first_event_at", "last_heard_at", "stale_since", "reconciled_at")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[HarvestRun]:
        return with_reasons(super().get_queryset(request))

    def of_list(self, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.defer("dag_run_conf")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestRun], search_term: str
    ) -> tuple[QuerySet[HarvestRun], bool]:
        return search(queryset, search_term, _meanings)

    # --- a person's decision ---

    def has_change_permission(self, request: HttpRequest, obj: HarvestRun | None = None) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: HarvestRun | None = None) -> list[str]:
        decided = ("status", "status_note")
        return [name for name in flatten_fieldsets(self.fieldsets) if name not in decided]

    def save_model(
        self, request: HttpRequest, obj: HarvestRun, form: ModelForm[HarvestRun], change: bool
    ) -> None:
        if form.changed_data:
            changed = "status" in form.changed_data
            status = HarvestRun.Status(obj.status) if changed else None
            user = request.user if request.user.is_authenticated else None
            recording.set_status(obj.pk, status, obj.status_note, user)

    def formfield_for_choice_field(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> TypedChoiceField | None:
        """Compare with what the person saw: events may have changed the status meanwhile."""
        return super().formfield_for_choice_field(db_field, request, show_hidden_initial=True, **kwargs)

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
        return parts.one_line(reason_of(run) or gettext("not said"))

    @admin.display(description=_("Airflow"))
    def airflow(self, run: HarvestRun) -> SafeString | str:
        return parts.external_link(run_page(run.key), gettext("open"))

    @admin.display(description=_("events"))
    def events(self, run: HarvestRun) -> SafeString:
        count, errors = run.events.count(), run.events.filter(error=True).count()
        url = reverse("admin:harvest_harvestevent_changelist") + f"?harvest_run__id__exact={run.pk}"
        return format_html(
            '<a href="{}">{}</a>, <a href="{}&amp;error__exact=1">{}</a>',
            url,
            ngettext("%d event", "%d events", count) % count,
            url,
            ngettext("%d error", "%d errors", errors) % errors,
        )

    @admin.display(description=_("trigger"))
    def trigger(self, run: HarvestRun) -> SafeString | str:
        return parts.page_link(run.harvest_trigger)

    @admin.display(description=_("conf"))
    def conf(self, run: HarvestRun) -> SafeString:
        return parts.pretty_json(run.dag_run_conf)


def _meanings(word: str) -> tuple[Q, ...]:
    named = Collection.objects.filter(name__icontains=word)
    meanings = Q(collection__in=named), Q(dag_run_id__startswith=word)
    if word.isdecimal() and len(word) <= MAX_COLLECTION_DIGITS:
        unlinked = Q(collection=None, conf_collection_id=word)
        return Q(collection=word) | unlinked, *meanings
    return meanings
