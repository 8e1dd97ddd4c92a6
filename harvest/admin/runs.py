"""Harvest runs: their list is in runlist.py, here is a run's page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.forms import ModelForm, TypedChoiceField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import recording
from harvest.admin import parts
from harvest.admin.runlist import RunListAdmin
from harvest.models import HarvestRun


@admin.register(HarvestRun)
class HarvestRunAdmin(RunListAdmin):
    """Runs as the pipeline knows them. A person changes nothing but the status, by a decision."""

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
                    "published",
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
        (
            _("What Airflow says"),
            {
                "fields": (
                    "airflow_state",
                    "airflow_checked_at",
                    "airflow_started_at",
                    "airflow_ended_at",
                    "airflow_note",
                    "lost_since",
                    "lost_reason",
                    "airflow_failures",
                    "airflow_error",
                    "look_again_at",
                )
            },
        ),
    )

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

    @admin.display(description=_("in production"))
    def published(self, run: HarvestRun) -> str:
        """Say what the run changed: by the runs before it that are known by now."""
        if run.target_version is None or run.collection is None:
            return parts.EMPTY
        if run.status == HarvestRun.Status.FAILED:
            return gettext("changed nothing, since it failed")
        before = recording.version_before(run)
        words = {"before": before or gettext("none"), "now": run.target_version or gettext("none")}
        if before == run.target_version:
            return gettext("version %(now)s, as before") % words
        return gettext("version %(before)s → %(now)s") % words

    @admin.display(description=_("conf"))
    def conf(self, run: HarvestRun) -> SafeString:
        return parts.pretty_json(run.dag_run_conf)
