"""Pages that refresh themselves in the browser: harvest/static/harvest/refresh.js asks for them again.

It asks by the page's own address, with the header of :mod:`harvest.renewal`. The answer has the
parts that may have changed: without what is made for people, so that no message meant for them is used
up unseen, and without a redirect of its own, which the script could not tell from one to the login.
"""

from __future__ import annotations

from typing import Any

from django.forms import Media, Script
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from harvest.admin.parts import M, ReadOnlyAdmin
from harvest.renewal import is_asked_again

#: For a page that has parts with names, and the switch of harvest/live_switch.html.
PAGE = Media(js=[Script("harvest/livepage.js", type="module")])  # type: ignore[list-item] # the stubs


def answer(request: HttpRequest, response: HttpResponse, template: str) -> HttpResponse:
    """Return a page's response, or what it answers to the script: by a template of what may change."""
    if not is_asked_again(request):
        return response
    if isinstance(response, TemplateResponse):
        response.template_name = template
        return response
    return HttpResponse(status=409)


class LiveListAdmin(ReadOnlyAdmin[M]):
    """A list whose rows and pages the browser renews."""

    list_before_template = "harvest/live_control.html"

    class Media:
        js = (Script("harvest/livelist.js", type="module"),)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        return answer(request, response, "harvest/live_list.html")
