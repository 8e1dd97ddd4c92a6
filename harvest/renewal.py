"""Which requests come from the scripts that renew pages and lists, not from a person."""

from __future__ import annotations

from django.http import HttpRequest

#: What the scripts send with each request. The address stays that of the page.
HEADER = "X-Live"


def is_asked_again(request: HttpRequest) -> bool:
    """Return whether the browser asks for what it shows already."""
    return HEADER in request.headers
