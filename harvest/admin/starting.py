"""Starting runs for collections: what will run, on which host, and what became of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import unfold.admin
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import airflow_api, limits, triggering
from harvest.admin import parts
from harvest.admin.careful import CarefulAdmin
from harvest.admin.startform import StartForm
from harvest.airflowpages import run_page
from harvest.models import Collection, HarvestEvent, HarvestRun, HarvestTrigger
from harvest.triggering import DAGS, NOT_STARTED, SentAlready

PERMISSION = "harvest.trigger_run"

Chosen: TypeAlias = QuerySet[Collection]

#: What each action is called on a page.
TITLES = {
    "harvest": _("Start a harvest"),
    "publish": _("Publish a version"),
    "unpublish": _("Unpublish"),
}

_IDS = re.compile(rf"[0-9]{{1,10}}(?:,[0-9]{{1,10}}){{0,{limits.MAX_TRIGGERED - 1}}}")


class StartsRuns(CarefulAdmin[Collection], unfold.admin.ModelAdmin, admin.ModelAdmin[Collection]):
    """The part of the collections' pages that starts runs."""

    actions = ("harvest_selected", "publish_selected", "unpublish_selected")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("start/<slug:action>/", view(self.start), name="harvest_collection_start"),
            path(
                "started/<slug:action>/<slug:token>/",
                view(self.started),
                name="harvest_collection_started",
            ),
            *super().get_urls(),
        ]

    def has_trigger_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(PERMISSION)

    # --- from the list, for those that are ticked ---

    @admin.action(description=_("Harvest …"), permissions=["trigger"])
    def harvest_selected(self, request: HttpRequest, queryset: Chosen) -> HttpResponse | None:
        return self._ask(request, "harvest", queryset)

    @admin.action(description=_("Publish …"), permissions=["trigger"])
    def publish_selected(self, request: HttpRequest, queryset: Chosen) -> HttpResponse | None:
        return self._ask(request, "publish", queryset)

    @admin.action(description=_("Unpublish …"), permissions=["trigger"])
    def unpublish_selected(self, request: HttpRequest, queryset: Chosen) -> HttpResponse | None:
        return self._ask(request, "unpublish", queryset)

    def _ask(self, request: HttpRequest, action: str, queryset: Chosen) -> HttpResponse | None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: limits.MAX_TRIGGERED + 1])
        if len(ids) > limits.MAX_TRIGGERED:
            text = gettext("No more than %d collections at once.") % limits.MAX_TRIGGERED
            self.message_user(request, text, messages.ERROR)
            return None
        return redirect(start_url(action, ids))

    # --- the confirmation, and what became of it ---

    def start(self, request: HttpRequest, action: str) -> HttpResponse:
        """Show what will run. Start it once that is confirmed."""
        collections = self._asked_for(request, action)
        if not collections:
            self.message_user(request, gettext("No such collections."), messages.ERROR)
            return redirect("admin:harvest_collection_changelist")
        ids = [collection.pk for collection in collections]
        versions = HarvestEvent.objects.versions_of(ids) if action != "harvest" else {}
        form = StartForm(
            action, collections, versions, request.POST if request.method == "POST" else None
        )
        if form.is_valid():
            try:
                return self._start(request, form)
            except SentAlready:
                text = gettext("This form has been sent already, with another version: open a new one.")
                form.add_error(None, text)
        count = len(collections)
        words = {"dag": DAGS[action], "count": count}
        return self._page(
            request,
            "harvest/start.html",
            action,
            form=form,
            # Its hosts are what can be asked: where there is none, nothing can be sent.
            hosts=airflow_api.hosts(),
            collections=collections,
            versions=versions,
            what=ngettext(
                "%(dag)s will run in Airflow for %(count)d collection.",
                "%(dag)s will run in Airflow for %(count)d collections, a run for each.",
                count,
            )
            % words,
        )

    def _start(self, request: HttpRequest, form: StartForm) -> HttpResponse:
        orders, token = form.orders(), form.cleaned_data["token"]
        user = request.user if request.user.is_authenticated else None
        triggering.trigger(form.action, orders, form.cleaned_data["host"], token, user)
        url = reverse("admin:harvest_collection_started", args=[form.action, token])
        return HttpResponseRedirect(f"{url}?{_ids_query(order.collection_id for order in orders)}")

    def started(self, request: HttpRequest, action: str, token: str) -> HttpResponse:
        """Show what became of the runs that one form started: which failed, and why. Sent again from
        there, those go out once more that did not start."""
        collections = self._asked_for(request, action)
        runs = Prefetch("harvest_runs", HarvestRun.objects.defer("dag_run_conf", "airflow_note"))
        triggers = list(
            HarvestTrigger.objects.filter(
                dag_id=DAGS[action],
                dag_run_id__in=[triggering.run_id(action, one.pk, token) for one in collections],
            )
            .select_related("collection")
            .prefetch_related(runs)
            .order_by("collection_id")
        )
        if request.method == "POST":
            self._send_again(request, [one for one in triggers if one.state in NOT_STARTED])
            return HttpResponseRedirect(request.get_full_path())
        states = Counter(one.get_state_display() for one in triggers)
        return self._page(
            request,
            "harvest/started.html",
            action,
            summary=", ".join(f"{count} {state}" for state, count in states.items()),
            table={
                "headers": [_("collection"), _("state"), _("why"), _("version"), _("Airflow"), _("run")],
                "rows": [_row(one) for one in triggers],
            },
            may_send_again=any(one.state in NOT_STARTED for one in triggers),
        )

    def _send_again(self, request: HttpRequest, triggers: list[HarvestTrigger]) -> None:
        try:
            triggering.send_again(triggers)
        except triggering.NotConfigured as error:
            text = gettext("%s is not in AIRFLOW_HOSTS: it can't be asked.") % error
            self.message_user(request, text, messages.ERROR)

    def _asked_for(self, request: HttpRequest, action: str) -> list[Collection]:
        """Return the collections that the address names, for whoever may start runs for them."""
        if not self.has_trigger_permission(request):
            raise PermissionDenied
        if action not in DAGS:
            raise Http404
        text = request.GET.get("ids", "")
        ids = [int(number) for number in text.split(",")] if _IDS.fullmatch(text) else []
        known = Collection.objects.filter(pk__in=[pk for pk in ids if pk <= limits.MAX_INTEGER])
        return list(known.order_by("pk"))

    def _page(self, request: HttpRequest, template: str, action: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": TITLES[action],
                **context,
            },
        )


def _row(made: HarvestTrigger) -> list[Any]:
    run = next(iter(made.harvest_runs.all()), None)
    may_run = made.state not in NOT_STARTED
    airflow_page = run_page(made.key, airflow_api.version_of(made.hostname)) if may_run else None
    no_run = gettext("no event yet") if may_run else parts.EMPTY
    return [
        parts.page_link(made.collection),
        parts.page_link(made, parts.trigger_word(made)),
        parts.one_line(made.stderr) or parts.EMPTY,
        made.dag_run_conf.get("version", parts.EMPTY),
        parts.external_link(airflow_page, gettext("open")),
        parts.page_link(run, parts.status_word(run)) if run else no_run,
    ]


def start_url(action: str, ids: Iterable[int]) -> str:
    """Return the address of the page that asks whether to start this for these collections."""
    return f"{reverse('admin:harvest_collection_start', args=[action])}?{_ids_query(ids)}"


def _ids_query(ids: Iterable[int]) -> str:
    return f"ids={','.join(str(pk) for pk in ids)}"
