"""Harvest events: what each task said, with a traceback that can be read."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left, Right
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import limits
from harvest.admin import parts
from harvest.admin.longlists import search
from harvest.airflow import log_page
from harvest.models import HarvestEvent, HarvestRun


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
        (None, {"fields": ("run", "task", "log", "error_word", "traceback", "message")}),
        (
            _("Task"),
            {"fields": ("try_number", "map_index", "dag_level", "outcome", "sns_timestamp")},
        ),
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
        return search(queryset, search_term, _meanings)

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        """The events of one run in any order; all events only by time, else all would be sorted."""
        of_a_run = "harvest_run__id__exact" in request.GET
        return self.list_display if of_a_run else ("sns_timestamp",)

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
        page = log_page(event.harvest_run.key, event.task_id, event.map_index)
        return parts.external_link(page, gettext("open"))

    @admin.display(description=_("traceback"))
    def traceback(self, event: HarvestEvent) -> SafeString | str:
        message = event.rikolti_message
        if isinstance(message, dict) and isinstance(message.get("traceback"), str):
            return parts.preformatted(message["traceback"])
        return parts.EMPTY

    @admin.display(description=_("message"))
    def message(self, event: HarvestEvent) -> SafeString:
        return parts.pretty_json(event.rikolti_message)

    @admin.display(description=_("conf"))
    def conf(self, event: HarvestEvent) -> SafeString:
        return parts.pretty_json(event.dag_run_conf)

    @admin.display(description=_("SQS message"))
    def sqs(self, event: HarvestEvent) -> SafeString:
        return parts.pretty_json(event.sqs_message)

    @admin.display(description=_("SNS message"))
    def sns(self, event: HarvestEvent) -> SafeString:
        return parts.pretty_json(event.sns_message)


def _meanings(word: str) -> tuple[Q, ...]:
    runs = HarvestRun.objects.filter(dag_run_id__startswith=word)
    return Q(message_id=word), Q(task_id__startswith=word), Q(harvest_run__in=runs)
