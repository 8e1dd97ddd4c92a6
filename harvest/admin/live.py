"""A list that refreshes itself in the browser: harvest/static/harvest/live.js asks for it again."""

from __future__ import annotations

from typing import Any

from django.forms import Script
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from harvest.admin.longlists import asks_for_rows_alone
from harvest.admin.parts import M, ReadOnlyAdmin


class LiveListAdmin(ReadOnlyAdmin[M]):
    """A list whose rows and pages the browser renews.

    It is asked by the list's own address, with a header, and answers with the parts that may have
    changed: without what is made for people, so that no message meant for them is used up unseen, and
    without a redirect of its own, which the script could not tell from one to the login.
    """

    list_before_template = "harvest/live_control.html"

    class Media:
        js = (Script("harvest/live.js", type="module"),)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if not asks_for_rows_alone(request):
            return response
        if isinstance(response, TemplateResponse):
            response.template_name = "harvest/live_list.html"
            return response
        return HttpResponse(status=409)
