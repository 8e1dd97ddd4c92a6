"""Pieces that several pages share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import django_stubs_ext
from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from harvest.admin.longlists import LongListPaginator, page_asked_for

if TYPE_CHECKING:
    from harvest.models import HarvestRun

django_stubs_ext.monkeypatch([admin.ModelAdmin])

M = TypeVar("M", bound=models.Model)

#: What stands where there is nothing, as in the rest of the admin.
EMPTY = "-"

#: What a list shows of a long text.
LINE_LENGTH = 120

#: Word and shape beside the colour: a status must be seen without it.
STATUS_LOOKS = {
    "running": ("▶", "#1b5e9b"),
    "succeeded": ("✔", "#1f7a3a"),
    "failed": ("✖", "#b3261e"),
}
STALE_LOOK = ("⚠", "#8a5a00")


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """Pages to look at: nothing is added, changed or deleted by hand."""

    show_full_result_count = False  # It counts the whole table, on every page.
    list_per_page = 50

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: models.QuerySet[M],
        per_page: int,
        *args: Any,
        **kwargs: Any,
    ) -> Paginator[M]:
        return LongListPaginator(queryset, per_page, *args, asked_for=page_asked_for(request), **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def status_word(run: HarvestRun) -> SafeString:
    """Return the run's status as shape, word and colour; stale is said beside running."""
    shape, colour = STATUS_LOOKS[run.status]
    word = run.get_status_display()
    if run.stale_since:
        shape, colour = STALE_LOOK
        word = _("%(status)s, stale") % {"status": word}
    return format_html(
        '<span style="color: {}; font-weight: 600; white-space: nowrap">{} {}</span>',
        colour,
        shape,
        word,
    )


def external_link(url: str | None, text: str) -> SafeString | str:
    """Return a link out of the registry, or a dash where there is no address."""
    if url is None:
        return EMPTY
    return format_html('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', url, text)


def page_link(target: models.Model | None) -> SafeString | str:
    """Return a link to an object's own page."""
    if target is None:
        return EMPTY
    view = f"admin:{target._meta.app_label}_{target._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(view, args=[target.pk]), str(target))


def pretty_json(data: Any) -> SafeString:
    """Return data as indented JSON."""
    return preformatted(json.dumps(data, indent=2, ensure_ascii=False))


def preformatted(text: str) -> SafeString:
    return format_html(
        '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; margin: 0">{}</pre>', text
    )


def one_line(text: str) -> str:
    """Return the last line of a text that has one, cut to what a list has room for.

    The last line of a traceback is what went wrong.
    """
    line = text.strip().rpartition("\n")[2].strip()
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"
