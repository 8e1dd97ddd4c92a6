"""Lists that are asked for what no database can look up: a character that none stores, a number beyond
all columns, a moment before the first."""

from __future__ import annotations

from typing import Any, TypeVar

import django_stubs_ext
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError, models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

django_stubs_ext.monkeypatch([admin.ModelAdmin])

M = TypeVar("M", bound=models.Model)


class CarefulAdmin(admin.ModelAdmin[M]):
    """A list that answers an address that can't be looked up as the admin answers one that can't be
    read: it is shown without filters, and says why. To do something with rows that can't be is a bad
    request."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if ERROR_FLAG in request.GET and len(request.GET) > 1:
            # It is a list with filters again. With the flag the admin would say that the database is at
            # fault.
            asked = request.GET.copy()
            del asked[ERROR_FLAG]
            request.GET = asked  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        try:
            return super().get_changelist_instance(request)
        except (DataError, OverflowError) as error:
            if not request.GET or ERROR_FLAG in request.GET:
                raise  # it is not the address that is at fault
            text = gettext("The address asks for what no row can be: the list is shown without filters.")
            self.message_user(request, text, messages.WARNING)
            raise IncorrectLookupParameters from error

    def response_action(
        self, request: HttpRequest, queryset: models.QuerySet[M], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        key = self.opts.pk
        for value in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                key.clean(value, None)
            except ValidationError as error:
                raise BadRequest(f"no row can be {value[:100]!r}") from error
        return super().response_action(request, queryset, *args, **kwargs)
