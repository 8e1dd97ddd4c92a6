"""Moments and how long things take, as all pages write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from harvest.admin.careful import CarefulAdmin

M = TypeVar("M", bound=models.Model)

#: What stands where there is none, as in the rest of the admin.
EMPTY = "-"


def moment(at: datetime | None, *, short: bool = False) -> SafeString | str:
    """Return a moment, or a dash for None. harvest/static/harvest/moments.js writes it in the viewer's
    zone, whichever way it came into the page; UTC stays as its title, and without scripts as its text.
    A short one is written without seconds, and without the year that it is.
    """
    if at is None:
        return EMPTY
    at = at.astimezone(UTC)
    utc = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    looks = mark_safe(' class="short"') if short else ""
    return format_html('<time{} datetime="{}" title="{}">{}</time>', looks, at.isoformat(), utc, utc)


@cache
def moment_column(field: models.DateTimeField[Any, Any]) -> Callable[[models.Model], SafeString | str]:
    """Return what shows a column of moments in a list or on a page, always the same for a column."""

    @admin.display(description=field.verbose_name, ordering=field.name, empty_value=EMPTY)
    def shown(row: models.Model) -> SafeString | str:
        return moment(getattr(row, field.attname))

    shown.__name__ = field.name
    return shown


def duration(span: timedelta) -> str:
    """Return how long something took, in its two largest units: "2 d 3 h", "5 min 0 s"."""
    seconds = max(int(span.total_seconds()), 0)
    units = [
        _("%d d") % (seconds // 86_400),
        _("%d h") % (seconds // 3600 % 24),
        _("%d min") % (seconds // 60 % 60),
        _("%d s") % (seconds % 60),
    ]
    first = 0 if seconds >= 86_400 else 1 if seconds >= 3600 else 2 if seconds >= 60 else 3
    return " ".join(units[first : first + 2])


class MomentsAdmin(CarefulAdmin[M]):
    """A list whose columns of moments are in the zone of who looks."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [self.shown(name) for name in super().get_list_display(request)]

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        return [self.shown(name) for name in super().get_sortable_by(request)]

    def shown(self, name: Any) -> Any:
        """Return what shows a column of the model, if that is of moments, else its name."""
        columns = {field.name: field for field in self.opts.concrete_fields}
        field = columns.get(name) if isinstance(name, str) else None
        return moment_column(field) if isinstance(field, models.DateTimeField) else name
