"""Pieces that several pages share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import django_stubs_ext
import unfold.admin
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from harvest import limits
from harvest.admin import moments
from harvest.admin.longlists import LongListPaginator, page_asked_for
from harvest.strictjson import mend
from harvest.wording import why

if TYPE_CHECKING:
    from harvest.models import HarvestRun, HarvestTrigger

django_stubs_ext.monkeypatch([admin.ModelAdmin])

M = TypeVar("M", bound=models.Model)

#: What stands where there is nothing.
EMPTY = moments.EMPTY

#: The shape beside word and colour: a status must be seen without the colour.
STATUS_SHAPES = {"running": "▶", "succeeded": "✔", "failed": "✖", "stale": "⚠", "lost": "∅"}

#: Which of them the state of a trigger has.
TRIGGER_LOOKS = {
    "sent": "running",
    "accepted": "succeeded",
    "refused": "failed",
    "unknown": "stale",
    "absent": "failed",
}


class List(ChangeList):
    """A list that asks the database for no more than it shows."""

    model_admin: ReadOnlyAdmin[Any]

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> models.QuerySet[Any]:
        return self.model_admin.of_list(super().get_queryset(request, *args, **kwargs))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.query or self.has_active_filters):
            # All are shown already: else the theme, which knows no total, offers to show them.
            self.full_result_count = self.result_count


class ReadOnlyAdmin(moments.MomentsAdmin[M], unfold.admin.ModelAdmin, admin.ModelAdmin[M]):
    """Pages to look at: nothing is added, changed or deleted by hand.

    Whatever is in a row, its pages are of bounded size. What they cut is in a file to download.
    """

    show_full_result_count = False  # It counts the whole table, on every page.
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return List

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        return [
            (title, {**options, "fields": [self.shown(name) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def of_list(self, queryset: models.QuerySet[M]) -> models.QuerySet[M]:
        """Return the rows as the list needs them: without columns that a message may fill."""
        return queryset

    def get_urls(self) -> list[URLPattern]:
        return [
            path("<path:object_id>/whole/", self.admin_site.admin_view(self.whole)),
            *super().get_urls(),
        ]

    def whole(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer with all columns of a row, as a file of JSON."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        columns = [field.attname for field in row._meta.concrete_fields]
        name = f"{row._meta.model_name}-{row.pk}.json"
        return JsonResponse(
            {column: getattr(row, column) for column in columns},
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: models.QuerySet[M],
        per_page: int,
        *args: Any,
        **kwargs: Any,
    ) -> Paginator[M]:
        return LongListPaginator(queryset, per_page, *args, asked_for=page_asked_for(request), **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """No link to the admin's own log of changes: it knows none of what the pipeline does."""
        return super().render_change_form(request, {**context, "show_history": False}, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def status_word(run: HarvestRun) -> SafeString:
    """Return the run's status as shape, word and colour; stale or lost is said beside it."""
    seen, word = run.status, run.get_status_display()
    if run.stale_since:
        seen, word = "stale", _("%(status)s, stale") % {"status": word}
    if run.lost_since:
        seen, word = "lost", _("%(status)s, lost") % {"status": run.get_status_display()}
    return look(seen, word)


def why_failed(run: HarvestRun) -> str:
    """Return in one line why a run failed, by its newest error or the person who said so; or is lost."""
    unknown = _("not said") if run.status == "failed" else EMPTY
    return one_line(why(run) or unknown)


def trigger_word(trigger: HarvestTrigger) -> SafeString:
    """Return the state of a trigger, with the shape and colour of the status that it is most like."""
    return look(TRIGGER_LOOKS[trigger.state], trigger.get_state_display())


def failure_word(word: str) -> SafeString:
    """Return a word for what went wrong, with the shape and colour of a failed run."""
    return look("failed", word)


def success_word(word: str) -> SafeString:
    """Return a word for what went well, with the shape and colour of a run that did."""
    return look("succeeded", word)


def warning_word(word: str) -> SafeString:
    """Return a word for what a person should look at, with the shape and colour of a stale run."""
    return look("stale", word)


def look(name: str, word: str) -> SafeString:
    """Return a word with a shape and a class of harvest/static/harvest/admin.css, which colours it."""
    return format_html(
        '<span class="status status-{}"><span aria-hidden="true">{}</span> {}</span>',
        name,
        STATUS_SHAPES[name],
        word,
    )


def external_link(url: str | None, text: str) -> SafeString | str:
    """Return a link out of the registry, or a dash where there is no address."""
    if url is None:
        return EMPTY
    return format_html('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', url, text)


def page_link(target: models.Model | None, text: str = "") -> SafeString | str:
    """Return a link to an object's own page, by its name or another text."""
    if target is None:
        return EMPTY
    view = f"admin:{target._meta.app_label}_{target._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(view, args=[target.pk]), text or str(target))


def show_secret(
    request: HttpRequest, own: admin.ModelAdmin[Any], secret: str, message: str, hint: str
) -> HttpResponse:
    """Answer with a secret: it is on this page alone, and in no cookie, session, log or cache."""
    list_view = f"{own.admin_site.name}:{own.opts.app_label}_{own.opts.model_name}_changelist"
    return TemplateResponse(
        request,
        "harvest/new_secret.html",
        {
            **own.admin_site.each_context(request),
            "title": _("A new secret"),
            "opts": own.opts,
            "secret": secret,
            "message": message,
            "hint": hint,
            "back": reverse(list_view),
        },
        headers={"Cache-Control": "no-store"},
    )


def pretty_json(data: Any) -> SafeString:
    """Return data as indented JSON, or its beginning."""
    shown = ""
    # Piece by piece: indented, nested data is many times as long as it is when stored.
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(data):
        shown += piece
        if len(shown) > limits.MAX_SHOWN:
            notice = _("Only the beginning is shown.")
            return format_html("{}{}", _pre(shown[: limits.MAX_SHOWN]), link_to_whole(notice))
    return _pre(shown)


def preformatted(text: str, whole: str = "../whole/") -> SafeString:
    """Return a text as it is, or beginning and end of a long one with a link to the whole."""
    half = limits.MAX_SHOWN // 2
    if len(text) <= 2 * half:
        return _pre(text)
    notice = _("%d characters are left out.") % (len(text) - 2 * half)
    return format_html("{}{}{}", _pre(text[:half]), link_to_whole(notice, whole), _pre(text[-half:]))


def _pre(text: str) -> SafeString:
    return format_html(
        '<pre class="as-written">{}</pre>',
        mend(text),  # an unpaired surrogate can't be sent, and a rejected body may hold one
    )


def link_to_whole(notice: str, whole: str = "../whole/") -> SafeString:
    """Return what was cut, and a link to the file that has it: by default that of the page's own row."""
    return format_html('<p>{} <a href="{}">{}</a></p>', notice, whole, _("Download the whole"))


def readable(text: str) -> str:
    """Return JSON as the database has it, with its characters in place of their escapes.

    What is cut is no JSON any more, and stays as it is.
    """
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text


def one_line(text: str) -> str:
    """Return the last line of a text that has one, cut to what a list has room for.

    The last line of a traceback is what went wrong.
    """
    line = text.strip().rpartition("\n")[2].strip()
    return line if len(line) <= limits.MAX_LINE else line[: limits.MAX_LINE - 1] + "…"
