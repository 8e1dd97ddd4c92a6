"""Triggers: what was asked of Airflow by whom, what it answered, and the run that came of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import triggering
from harvest.admin import parts
from harvest.admin.longlists import ValuesFilter
from harvest.admin.starting import PERMISSION
from harvest.airflow_api import version_of
from harvest.airflowpages import run_page
from harvest.models import HarvestRun, HarvestTrigger
from harvest.searching import meanings_of_trigger, search

State = HarvestTrigger.State

#: Airflow may know better by now.
OPEN = (State.SENT, State.UNKNOWN, State.ABSENT)


@admin.register(HarvestTrigger)
class HarvestTriggerAdmin(parts.ReadOnlyAdmin[HarvestTrigger]):
    list_display = (
        "logical_date",
        "collection",
        "dag_id",
        "state_word",
        "user",
        "hostname",
        "airflow",
        "run",
    )
    list_filter = (("dag_id", ValuesFilter), "state", "logical_date")
    list_select_related = ("collection", "user")
    search_fields = ("dag_run_id",)
    search_help_text = _("a collection's id or name, or how a DAG run id begins")
    show_facets = admin.ShowFacets.NEVER
    change_form_outer_before_template = "harvest/look_again.html"
    fieldsets = (
        (None, {"fields": ("state_word", "error", "run", "airflow", "answer")}),
        (
            _("Request"),
            {
                "fields": (
                    "collection_page",
                    "dag_id",
                    "dag_run_id",
                    "logical_date",
                    "conf",
                    "hostname",
                    "user",
                    "created_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[HarvestTrigger]:
        runs = Prefetch("harvest_runs", HarvestRun.objects.defer("dag_run_conf", "airflow_note"))
        return super().get_queryset(request).select_related("collection").prefetch_related(runs)

    def of_list(self, queryset: QuerySet[HarvestTrigger]) -> QuerySet[HarvestTrigger]:
        return queryset.defer("stdout", "stderr", "dag_run_conf")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestTrigger], search_term: str
    ) -> tuple[QuerySet[HarvestTrigger], bool]:
        return search(queryset, search_term, meanings_of_trigger), False

    def get_readonly_fields(self, request: HttpRequest, obj: HarvestTrigger | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    # --- another look ---

    def get_urls(self) -> list[URLPattern]:
        look = self.admin_site.admin_view(self.look_again)
        return [
            path("<int:pk>/look-again/", look, name="harvest_harvesttrigger_look_again"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        may_look = request.user.has_perm(PERMISSION)
        context = {**(extra_context or {}), "may_look_again": may_look, "open_states": OPEN}
        return super().change_view(request, object_id, form_url, context)

    def look_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask Airflow what became of a trigger."""
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        made = HarvestTrigger.objects.filter(pk=pk).first()
        if made is None:
            raise Http404
        if made.state in OPEN:
            try:
                triggering.look_again(made)
            except triggering.NotConfigured:
                text = gettext("%s is not in AIRFLOW_HOSTS: it can't be asked.") % made.hostname
                self.message_user(request, text, messages.ERROR)
            else:
                self.message_user(request, gettext("Now: %s.") % made.get_state_display())
        return redirect("admin:harvest_harvesttrigger_change", pk)

    # --- what is shown ---

    @admin.display(description=_("state"), ordering="state")
    def state_word(self, trigger: HarvestTrigger) -> SafeString:
        return parts.trigger_word(trigger)

    @admin.display(description=_("run"))
    def run(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.page_link(next(iter(trigger.harvest_runs.all()), None))

    @admin.display(description=_("collection"))
    def collection_page(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.page_link(trigger.collection)

    @admin.display(description=_("Airflow"))
    def airflow(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.external_link(run_page(trigger.key, version_of(trigger.hostname)), gettext("open"))

    @admin.display(description=_("conf"))
    def conf(self, trigger: HarvestTrigger) -> SafeString:
        return parts.pretty_json(trigger.dag_run_conf)

    @admin.display(description=_("answer"))
    def answer(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.preformatted(trigger.stdout) if trigger.stdout else parts.EMPTY

    @admin.display(description=_("why not"))
    def error(self, trigger: HarvestTrigger) -> SafeString | str:
        return parts.preformatted(trigger.stderr) if trigger.stderr else parts.EMPTY
