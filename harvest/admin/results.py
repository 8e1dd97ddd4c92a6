"""Task results: the pages of django-celery-results, made for a table that is never small."""

from __future__ import annotations

import ast
import json
import re
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from celery import states
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.db.models.functions import Left, Right
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_results.admin import GroupResultAdmin, TaskResultAdmin
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin

from harvest import limits, taskids
from harvest.admin import moments, parts
from harvest.admin.longlists import ValuesFilter
from harvest.models import HarvestRun
from harvest.searching import newest
from harvest.strictjson import mend

admin.site.unregister((TaskResult, GroupResult))

#: The tasks whose result, or only argument, is the id of a run.
RECORD = "harvest.record_event"
OF_A_RUN = ("harvest.recompute_run_status", "harvest.reconcile_run")

#: The tasks whose arguments are the id of a row, and how often that was worked on before: the page of
#: the row, and what the task is about.
OF_A_ROW = {
    "harvest.deliver_notice": (
        "admin:harvest_notice_change", _("notice %(row)d, attempt %(number)d"),
    ),
    "harvest.redrive": ("admin:harvest_redrive_change", _("redrive %(row)d, slice %(number)d")),
}  # fmt: skip
#: More is no id, nor any number of times.
MANY = 10**18

REPLAY = "harvest.replay_rejected"
WINDOW = "harvest.backfill_window"

#: What a worker is told of the messages of a task (harvest.batching says it): never their bodies.
MESSAGES = re.compile(r"\((\d+ messages? of .*)\)", re.DOTALL)

FAILURES = (states.FAILURE, states.REVOKED)


def results_of(run: HarvestRun, *, failures: bool = False) -> str:
    """Return the address of the list of a run's task results, or of those that failed."""
    page = reverse("admin:django_celery_results_taskresult_changelist")
    return f"{page}?run={run.pk}{'&outcome=failures' if failures else ''}"


class RunFilter(admin.SimpleListFilter):
    """The results of one run's tasks. It is reached from the run's page, and shows while it is on."""

    title = _("run")
    parameter_name = "run"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name)
        return [] if value is None else [(value, parts.one_line(gettext("run %s") % value))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> QuerySet[TaskResult]:
        if self.value() is None:
            return queryset
        run_id = _number(self.value() or "")
        run = None if run_id is None else HarvestRun.objects.filter(pk=run_id).first()
        if run is None:
            return queryset.none()
        ranges = taskids.ranges(run.pk, run.dag_id, run.dag_run_id)
        return queryset.filter(
            reduce(or_, (Q(task_id__gte=low, task_id__lt=high) for low, high in ranges))
        )


class OutcomeFilter(admin.SimpleListFilter):
    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("failures", gettext("failures")),
            ("retrying", gettext("trying again")),
            ("successes", gettext("successes")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> QuerySet[TaskResult]:
        wanted = {
            "failures": FAILURES,
            "retrying": (states.RETRY,),
            "successes": (states.SUCCESS,),
        }.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(status__in=wanted)


@admin.register(TaskResult)
class LongTaskResultAdmin(parts.ReadOnlyAdmin[TaskResult], TaskResultAdmin):
    date_hierarchy = None  # type: ignore[assignment] # It reads all dates, on every page.
    list_display = (
        "date_done", "task_name", "outcome", "arguments", "answer", "worker",
    )  # fmt: skip
    list_filter = (  # type: ignore[assignment]
        OutcomeFilter,
        RunFilter,
        "date_done",
        *((name, ValuesFilter) for name in ("status", "task_name", "periodic_task_name", "worker")),
    )
    search_help_text = _("a task id, or text of the name, state or arguments of the newest 500")
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("task_name", "outcome", "arguments", "answer", "whole_traceback")}),
        (_("Times"), {"fields": ("date_created", "date_started", "date_done")}),
        (_("As stored"), {"fields": ("task_id", "status", "periodic_task_name", "worker")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: TaskResult | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    def of_list(self, queryset: QuerySet[TaskResult]) -> QuerySet[TaskResult]:
        return queryset.annotate(
            last_of_traceback=Right("traceback", limits.MAX_FETCHED),
            some_args=Left("task_args", limits.MAX_FETCHED),
            some_result=Left("result", limits.MAX_FETCHED),
        ).defer("traceback", "task_args", "task_kwargs", "result", "meta")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskResult], search_term: str
    ) -> tuple[QuerySet[TaskResult], bool]:
        if search_term:
            named = queryset.filter(task_id=search_term.strip())
            if named.exists():
                return named, False
            queryset = newest(queryset, "date_done")
        return super().get_search_results(request, queryset, search_term)

    def has_delete_permission(self, request: HttpRequest, obj: TaskResult | None = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    @admin.display(description=_("outcome"), ordering="status")
    def outcome(self, result: TaskResult) -> SafeString | str:
        if result.status in FAILURES:
            return parts.failure_word(gettext("failed"))
        if result.status == states.SUCCESS:
            return parts.success_word(gettext("done"))
        return gettext("tries again") if result.status == states.RETRY else result.status.lower()

    @admin.display(description=_("of what"))
    def arguments(self, result: TaskResult) -> SafeString | str:
        """Say what a task was about, with a link to the run where that is known."""
        run_id, words = _run_id(result), _words(result)
        if run_id is not None:
            page = reverse("admin:harvest_harvestrun_change", args=[run_id])
            return format_html('<a href="{}">{}</a>', page, words)
        return _of_a_row(result) or words

    @admin.display(description=_("what came of it"))
    def answer(self, result: TaskResult) -> str:
        """Say how it ended: the last line of the traceback says what went wrong."""
        traceback = _column(result, "last_of_traceback", "traceback")
        if traceback:
            return parts.one_line(traceback)
        text = _unquoted(_column(result, "some_result", "result"))
        if result.task_name == RECORD and _number(text):
            return gettext("run %s") % text
        return parts.EMPTY if text in ("", "null") else parts.one_line(text)

    @admin.display(description=_("traceback"))
    def whole_traceback(self, result: TaskResult) -> SafeString | str:
        return parts.preformatted(result.traceback) if result.traceback else parts.EMPTY


@admin.register(GroupResult)
class ThemedGroupResultAdmin(moments.MomentsAdmin[GroupResult], ModelAdmin, GroupResultAdmin):
    pass


def _run_id(result: TaskResult) -> int | None:
    if result.task_name == RECORD and result.status == states.SUCCESS:
        return _number(_column(result, "some_result", "result"))
    if result.task_name in OF_A_RUN:
        return _only_number(_unquoted(_column(result, "some_args", "task_args")))
    return None


def _of_a_row(result: TaskResult) -> SafeString | None:
    """Return what a task of a row other than a run is about, with a link to that."""
    arguments = _arguments(result) if result.task_name in OF_A_ROW else None
    match arguments:
        case (int(row), int(done)) if 0 <= min(row, done) <= max(row, done) < MANY:
            page, words = OF_A_ROW[result.task_name]
            text = words % {"row": row, "number": done + 1}
            return format_html('<a href="{}">{}</a>', reverse(page, args=[row]), text)
    return None


def _window(result: TaskResult) -> SafeString | None:
    """Return which runs a task listed."""
    match _arguments(result):
        case (str(host), str(dag_id), str(since), str(until)):
            words = gettext("{} on {}, from {} to {}")
            return format_html(words, mend(dag_id), mend(host), *map(_moment, (since, until)))
    return None


def _moment(text: str) -> SafeString | str:
    try:
        return moments.moment(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return str(mend(text))


def _words(result: TaskResult) -> SafeString | str:
    """Return the arguments of a task as a person reads them: never a body."""
    if result.task_name == WINDOW and (window := _window(result)):
        return window
    if result.task_name == REPLAY:
        match _arguments(result):
            case (list(ids),):
                words = ngettext("%d rejected message", "%d rejected messages", len(ids))
                return str(words % len(ids))
    text = _unquoted(_column(result, "some_args", "task_args"))
    if result.task_name == RECORD:
        messages = MESSAGES.fullmatch(text)
        return parts.one_line(messages[1]) if messages else gettext("(messages)")
    if result.task_name in OF_A_RUN and (run_id := _only_number(text)) is not None:
        return gettext("run %s") % run_id
    return parts.EMPTY if text in ("", "()", "[]") else parts.one_line(text)


def _column(result: TaskResult, in_list: str, whole: str) -> str:
    """Return a column's text: in a list the part of it that was asked for."""
    listed = in_list in result.__dict__
    return str(getattr(result, in_list if listed else whole) or "")


def _unquoted(text: str) -> str:
    """Return the text that is stored as a JSON string, or what is stored where it is cut or none."""
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return data if isinstance(data, str) else text


def _arguments(result: TaskResult) -> tuple[Any, ...] | None:
    """Return the arguments of a task, None where they are cut, or more than numbers and texts."""
    text = _unquoted(_column(result, "some_args", "task_args"))
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return tuple(found) if isinstance(found, list | tuple) else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _only_number(arguments: str) -> int | None:
    """Return the number that is the only argument, as in ``(12,)``."""
    found = re.fullmatch(r"[(\[](\d{1,18}),?[)\]]", arguments)
    return int(found[1]) if found else None
