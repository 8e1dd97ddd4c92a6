"""Lists whose address asks for what no database can look up: a character that none stores, a number
beyond all columns, a moment before the first."""

from __future__ import annotations

from typing import Any, TypeVar

import django_stubs_ext
from django.contrib import admin, messages
from django.contrib.admin.views.main import ERROR_FLAG
from django.db import DataError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext

django_stubs_ext.monkeypatch([admin.ModelAdmin])

M = TypeVar("M", bound=models.Model)


class CarefulAdmin(admin.ModelAdmin[M]):
    """A list that answers what can't be looked up as the admin answers what can't be read: it is shown
    without filters."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except (DataError, OverflowError):
            if request.method != "GET" or not request.GET or ERROR_FLAG in request.GET:
                raise
            text = gettext("The address asks for what no row can be: the list is shown without filters.")
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
