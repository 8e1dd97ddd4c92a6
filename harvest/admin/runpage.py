"""The page of a run: the answer first, then what became of it, its tasks and its events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count, Q, QuerySet
from django.forms import Field, ModelForm, TypedChoiceField
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import limits, recording, tasks
from harvest.admin import answer, asking, jsontree, live, moments, parts, runtasks, taskrows
from harvest.admin.longlists import LAST_PAGE
from harvest.admin.results import results_of
from harvest.airflow_api import version_of
from harvest.airflowpages import run_page
from harvest.models import HarvestEvent, HarvestRun, RunChange
from harvest.strictjson import is_storable

#: Events that a download reads from the database at a time, each of which may be large.
CHUNK = 50

#: Of a run, those that its page tells.
MOMENTS = (
    "first_event_at", "last_heard_at", "stale_since", "lost_since", "airflow_checked_at",
    "airflow_ended_at",
)  # fmt: skip


class DecisionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A person's decision about a run's status, for a reason that is given anew each time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["status_note"] = ""


class RunPage(parts.ReadOnlyAdmin[HarvestRun]):
    """What the admin of runs has for the page of one."""

    form = DecisionForm
    change_form_outer_before_template = "harvest/run.html"
    fieldsets = (
        (
            _("Set the status"),
            {
                "fields": ("status", "status_note"),
                "description": _(
                    "Events decide the status. Set it by hand where they can't: your decision "
                    "stands until the run publishes a newer event."
                ),
            },
        ),
        (
            _("As it was told"),
            {
                "fields": ("dag_id", "dag_run_id", "logical_date", "host", "conf"),
            },
        ),
    )

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(js=["harvest/ondemand.js"]) + live.PAGE

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/look/", view(self.look), name="harvest_harvestrun_look"),
            path("<path:object_id>/task/", view(self.task), name="harvest_harvestrun_task"),
            path("<path:object_id>/events.jsonl", view(self.download), name="harvest_harvestrun_jsonl"),
            *super().get_urls(),
        ]

    def run_of(self, request: HttpRequest, object_id: str) -> HarvestRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            raise Http404
        return run

    # --- a person's decision ---

    def has_change_permission(self, request: HttpRequest, obj: HarvestRun | None = None) -> bool:
        """All that a person changes of a run is its status."""
        return request.user.has_perm("harvest.set_status") and self.has_view_permission(request, obj)

    def has_reconcile_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("harvest.reconcile_run")

    def get_readonly_fields(self, request: HttpRequest, obj: HarvestRun | None = None) -> list[str]:
        decided = ("status", "status_note")
        return [self.shown(name) for name in flatten_fieldsets(self.fieldsets) if name not in decided]

    def get_fieldsets(self, request: HttpRequest, obj: HarvestRun | None = None) -> Any:
        """Whoever may not decide is shown no form: the answer above says it all."""
        deciding, *others = super().get_fieldsets(request, obj)
        return (deciding, *others) if self.has_change_permission(request, obj) else tuple(others)

    def save_model(
        self, request: HttpRequest, obj: HarvestRun, form: ModelForm[HarvestRun], change: bool
    ) -> None:
        changed = "status" in form.changed_data
        status = HarvestRun.Status(obj.status) if changed else None
        user = request.user if request.user.is_authenticated else None
        recording.set_status(obj.pk, status, obj.status_note, user)

    def formfield_for_choice_field(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> TypedChoiceField | None:
        """Compare with what the person saw: events may have changed the status meanwhile."""
        return super().formfield_for_choice_field(db_field, request, show_hidden_initial=True, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Field | None:
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        if formfield is not None and db_field.name == "status_note":
            formfield.required = True
            formfield.label = gettext("Reason")
            formfield.help_text = gettext("Kept with your name in the run's history.")
        return formfield

    def look(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have a worker look at the run now, as the sweep does."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = self.run_of(request, object_id)
        if not self.has_reconcile_permission(request):
            raise PermissionDenied
        refused = asking.send(tasks.reconcile_run, run.pk)
        if refused is None:
            text = gettext(
                "A worker has been asked to look at this run. Load the page again in a moment; if "
                "“last looked at” stays as it is, no worker is at work."
            )
            self.message_user(request, text, messages.SUCCESS)
        else:
            self.message_user(request, refused, messages.ERROR)
        return HttpResponseRedirect(reverse("admin:harvest_harvestrun_change", args=[run.pk]))

    # --- what is shown ---

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return live.answer(request, super().change_view(request, *args, **kwargs), "harvest/run.html")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        run = kwargs.get("obj")
        shown = self.page(request, run) if run is not None else {}
        shown["show_save_and_continue"] = False  # The page stays open: see response_change.
        return super().render_change_form(request, {**context, **shown}, *args, **kwargs)

    def response_change(self, request: HttpRequest, obj: HarvestRun) -> HttpResponse:
        """Show what was decided, and the line of history that it left."""
        self.message_user(request, gettext("The status is set, by your decision."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:harvest_harvestrun_change", args=[obj.pk]))

    def page(self, request: HttpRequest, run: HarvestRun) -> dict[str, Any]:
        """Return what the template of a run's page is made of."""
        tasks_number = page_number(request, "tasks")
        found = runtasks.tasks_of_run(run, tasks_number)
        changes = list(
            RunChange.objects.filter(harvest_run=run).select_related("user")[: limits.MAX_CHANGES]
        )
        told = answer.answer_of(run, changes, found.errors)
        numbers = run.events.aggregate(
            all=Count("*"), errors=Count("sns_timestamp", filter=Q(error=True))
        )
        number = page_number(request, "events")
        events = _events(run, number)
        may_results = request.user.has_perm("django_celery_results.view_taskresult")
        return {
            "run": run,
            "answer": told,
            "moments": {
                "since": moments.moment(told.since),
                "next_look": moments.moment(told.next_look),
                "looked_at": moments.moment(run.reconciled_at),
                **{name: moments.moment(getattr(run, name)) for name in MOMENTS},
            },
            "changes": taskrows.change_rows(changes),
            "airflow_page": parts.external_link(
                run_page(run.key, version_of(run.host)), gettext("open in Airflow")
            ),
            "collection": self._collection(run),
            "published": self._published(run),
            "trigger": parts.page_link(run.harvest_trigger),
            "numbers": numbers,
            "went_wrong": taskrows.event_rows(run, found.errors),
            "more_errors": numbers["errors"] - len(found.errors),
            "picture": taskrows.picture_of(found),
            "tasks": taskrows.task_rows(run, found),
            "tasks_before": tasks_number - 1,
            "tasks_after": tasks_number + 1 if found.more else None,
            "events": taskrows.event_rows(run, events[: limits.MAX_ROWS]),
            "events_before": number - 1,
            "events_after": number + 1 if len(events) > limits.MAX_ROWS else None,
            "may_decide": self.has_change_permission(request, run),
            "may_reconcile": self.has_reconcile_permission(request),
            "results": results_of(run) if may_results else "",
            "failed_results": results_of(run, failures=True) if may_results else "",
        }

    def _published(self, run: HarvestRun) -> str:
        """Say what the run changed in production: by the runs before it that are known by now."""
        if run.target_version is None or run.collection is None:
            return ""
        if run.status == HarvestRun.Status.FAILED:
            return gettext("changed nothing, since it failed")
        before = recording.version_before(run)
        words = {"before": before or gettext("none"), "now": run.target_version or gettext("none")}
        if before == run.target_version:
            return gettext("version %(now)s, as before") % words
        return gettext("version %(before)s → %(now)s") % words

    def _collection(self, run: HarvestRun) -> str:
        if run.collection is not None:
            return parts.page_link(run.collection)
        if run.conf_collection_id is not None:
            return gettext("%d, not in the registry") % run.conf_collection_id
        return parts.EMPTY

    def task(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with the instances of a mapped task: as a page, or as what opens on the run's page."""
        run = self.run_of(request, object_id)
        task_id = request.GET.get("task", "")
        if not (0 < len(task_id) <= limits.MAX_ID and is_storable(task_id)):
            raise Http404
        only_failed = request.GET.get("failed") == "1"
        mapped = runtasks.MappedTask(run, task_id, only_failed, page_number(request, "page"))
        fragment = request.GET.get("fragment") == "1"
        context = {
            **({} if fragment else self.admin_site.each_context(request)),
            "title": task_id,
            "opts": self.opts,
            "run": run,
            "task_id": task_id,
            "only_failed": only_failed,
            "instances": taskrows.instance_rows(run, mapped.instances),
            "before": mapped.page - 1,
            "after": mapped.page + 1 if mapped.more else None,
            "media": forms.Media(js=["harvest/ondemand.js"]),
        }
        return render(request, "harvest/mapped.html" if fragment else "harvest/task.html", context)

    def download(self, request: HttpRequest, object_id: str) -> StreamingHttpResponse:
        """Answer with all events of a run, oldest first, a line of JSON for each."""
        run = self.run_of(request, object_id)
        name = f"harvestrun-{run.pk}-events.jsonl"
        return StreamingHttpResponse(
            _lines(run.events.order_by("sns_timestamp", "dag_level", "message_id")),
            content_type="application/jsonl",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @admin.display(description=_("conf"))
    def conf(self, run: HarvestRun) -> str:
        return jsontree.tree(run.dag_run_conf)


def page_number(request: HttpRequest, name: str) -> int:
    """Return the number of a page by the address, 1 where it has none, or nonsense."""
    try:
        return min(max(int(request.GET.get(name, 1)), 1), LAST_PAGE)
    except ValueError:
        return 1


def _events(run: HarvestRun, page: int) -> Sequence[HarvestEvent]:
    """Return the events of a page, newest first, and one more where there is another page."""
    start = (page - 1) * limits.MAX_ROWS
    # Keys first: with an offset a database works out all columns of the rows before it as well.
    keys = run.events.values_list("pk", flat=True)[start : start + limits.MAX_ROWS + 1]
    return list(runtasks.with_line(HarvestEvent.objects.filter(pk__in=list(keys))))


def _lines(events: QuerySet[HarvestEvent]) -> Iterator[str]:
    columns = [field.attname for field in HarvestEvent._meta.concrete_fields]
    for event in events.values(*columns).iterator(CHUNK):
        yield json.dumps(event, cls=DjangoJSONEncoder, ensure_ascii=False) + "\n"
