"""Harvest events: what each task said, with a traceback that can be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left, Right
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import limits
from harvest.admin import jsontree, moments, parts
from harvest.airflow_api import version_of
from harvest.airflowpages import log_page
from harvest.models import HarvestEvent, HarvestRun
from harvest.searching import search
from harvest.strictjson import mend


@admin.register(HarvestEvent)
class HarvestEventAdmin(parts.ReadOnlyAdmin[HarvestEvent]):
    list_display = (
        "sns_timestamp",
        "error_word",
        "task",
        "map_index",
        "try_number",
        "summary",
        "run",
        "log",
    )
    list_filter = ("error", "dag_level", "outcome", "sns_timestamp")
    list_select_related = ("harvest_run",)
    search_fields = ("message_id", "task_id", "harvest_run__dag_run_id")
    search_help_text = _("a message id, or how the name of a task or a DAG run id begins")
    show_facets = admin.ShowFacets.NEVER  # They count all events, for each choice of each filter.
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "run",
                    "task",
                    "log",
                    "error_word",
                    "published",
                    "last_line",
                    "traceback",
                    "message",
                    "neighbours",
                )
            },
        ),
        (_("Task"), {"fields": ("try_number", "map_index", "dag_level", "outcome")}),
        (
            _("As received"),
            {
                "classes": ("collapse",),
                "fields": ("message_id", "recorded_at", "host", "conf", "sqs", "sns"),
            },
        ),
    )

    def of_list(self, queryset: QuerySet[HarvestEvent]) -> QuerySet[HarvestEvent]:
        exception = KeyTextTransform("exception", "rikolti_message")
        return queryset.annotate(
            exception=Right(exception, limits.MAX_FETCHED),
            beginning=Left(Cast("rikolti_message", TextField()), limits.MAX_FETCHED),
        ).defer(
            "rikolti_message", "dag_run_conf", "sqs_message", "sns_message", "harvest_run__dag_run_conf"
        )

    def get_readonly_fields(self, request: HttpRequest, obj: HarvestEvent | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HarvestEvent], search_term: str
    ) -> tuple[QuerySet[HarvestEvent], bool]:
        return search(queryset, search_term, _meanings), False

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """The events of one run in any order; all events only by time, else all would be sorted."""
        of_a_run = "harvest_run__id__exact" in request.GET
        columns = super().get_sortable_by(request)
        return columns if of_a_run else columns[:1]

    @admin.display(description=_("error"), ordering="error")
    def error_word(self, event: HarvestEvent) -> SafeString | str:
        return parts.failure_word(gettext("error")) if event.error else parts.EMPTY

    @admin.display(description=_("task"), ordering="task_id")
    def task(self, event: HarvestEvent) -> str:
        return event.task_id or gettext("(the run as a whole)")

    @admin.display(description=_("message"))
    def summary(self, event: HarvestEvent) -> str:
        exception, beginning = getattr(event, "exception", None), getattr(event, "beginning", None)
        return parts.one_line(exception or parts.readable(beginning or "null"))

    @admin.display(description=_("run"))
    def run(self, event: HarvestEvent) -> SafeString | str:
        return parts.page_link(event.harvest_run)

    @admin.display(description=_("log"))
    def log(self, event: HarvestEvent) -> SafeString | str:
        if event.task_id is None:
            return parts.EMPTY
        run = event.harvest_run
        page = log_page(run.key, event.task_id, event.map_index, version_of(run.host))
        return parts.external_link(page, gettext("open"))

    @admin.display(description=_("published"))
    def published(self, event: HarvestEvent) -> SafeString | str:
        return moments.moment(event.sns_timestamp)

    @admin.display(description=_("what went wrong"))
    def last_line(self, event: HarvestEvent) -> SafeString | str:
        line = _last_line(event.rikolti_message)
        return format_html('<bdi class="last-line">{}</bdi>', line) if line else parts.EMPTY

    @admin.display(description=_("traceback"))
    def traceback(self, event: HarvestEvent) -> SafeString | str:
        text = _traceback(event.rikolti_message)
        return parts.preformatted(text) if text else parts.EMPTY

    @admin.display(description=_("message"))
    def message(self, event: HarvestEvent) -> SafeString:
        return jsontree.tree(event.rikolti_message)

    @admin.display(description=_("conf"))
    def conf(self, event: HarvestEvent) -> SafeString:
        return jsontree.tree(event.dag_run_conf)

    @admin.display(description=_("SQS message"))
    def sqs(self, event: HarvestEvent) -> SafeString:
        return jsontree.tree(event.sqs_message)

    @admin.display(description=_("SNS message"))
    def sns(self, event: HarvestEvent) -> SafeString:
        return jsontree.tree(event.sns_message)

    @admin.display(description=_("of the run"))
    def neighbours(self, event: HarvestEvent) -> SafeString:
        """Return links to the events of the run that were published just before and after this one."""
        links = (
            (gettext("the event before"), _beside(event, before=True)),
            (gettext("the event after"), _beside(event, before=False)),
        )
        return format_html_join(
            "",
            "<p>{}: {}</p>",
            ((text, _link(beside) if beside else gettext("none")) for text, beside in links),
        )

    # --- what opens on the page of the run ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.fragment)
        address = path("<path:object_id>/message/", view, name="harvest_harvestevent_message")
        return [address, *super().get_urls()]

    def fragment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with an event's message, to stand within another page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        event = self.get_object(request, object_id)
        if event is None:
            raise Http404
        page = reverse("admin:harvest_harvestevent_change", args=[event.pk])
        whole = page.replace("/change/", "/whole/")
        text = _traceback(event.rikolti_message)
        context = {
            "page": page,
            "last_line": _last_line(event.rikolti_message),
            "traceback": parts.preformatted(text, whole) if text else "",
            "message": jsontree.tree(event.rikolti_message, whole),
        }
        return render(request, "harvest/event_fragment.html", context)


def _link(event: HarvestEvent) -> SafeString | str:
    what = event.task_id or event.get_outcome_display()
    return parts.page_link(event, format_html("{}, {}", mend(what), moments.moment(event.sns_timestamp)))


def _traceback(message: Any) -> str:
    text = message.get("traceback") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


def _last_line(message: Any) -> str:
    """Return the line that says what went wrong, "" where none does."""
    if not isinstance(message, dict):
        return ""
    said = (message.get(key) for key in ("exception", "traceback", "reason"))
    return next((parts.one_line(text) for text in said if isinstance(text, str) and text.strip()), "")


def _beside(event: HarvestEvent, *, before: bool) -> HarvestEvent | None:
    """Return the event of the same run next to this one, in the order of the status rule."""
    events = HarvestEvent.objects.filter(harvest_run=event.harvest_run_id).only(
        "sns_timestamp", "task_id", "outcome", "dag_level", "message_id"
    )
    names = ("sns_timestamp", "dag_level", "message_id")
    order, beyond = ("-", "lt") if before else ("", "gt")
    further = Q()
    for number, name in enumerate(names):
        tied = {earlier: getattr(event, earlier) for earlier in names[:number]}
        further |= Q(**tied, **{f"{name}__{beyond}": getattr(event, name)})
    # The first condition, which the others imply, is the one that an index has.
    near = {f"sns_timestamp__{beyond}e": event.sns_timestamp}
    return events.filter(further, **near).order_by(*(order + name for name in names)).first()


def _meanings(word: str) -> tuple[Q, ...]:
    runs = HarvestRun.objects.filter(dag_run_id__startswith=word)
    return Q(message_id=word), Q(task_id__startswith=word), Q(harvest_run__in=runs)
