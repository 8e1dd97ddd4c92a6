"""Lists whose address asks for what no database can look up: a character that none stores, a number
beyond all columns, a moment before the first."""

from __future__ import annotations

from typing import TypeVar

import django_stubs_ext
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.db import DataError, models
from django.http import HttpRequest
from django.utils.translation import gettext

django_stubs_ext.monkeypatch([admin.ModelAdmin])

M = TypeVar("M", bound=models.Model)


class CarefulAdmin(admin.ModelAdmin[M]):
    """A list that answers what can't be looked up as the admin answers what can't be read: it is shown
    without filters, and says why."""

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        try:
            return super().get_changelist_instance(request)
        except (DataError, OverflowError) as error:
            if not request.GET or ERROR_FLAG in request.GET:
                raise  # it is not the address that is at fault
            text = gettext("The address asks for what no row can be: the list is shown without filters.")
            self.message_user(request, text, messages.WARNING)
            raise IncorrectLookupParameters from error
