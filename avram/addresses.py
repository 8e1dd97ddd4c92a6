"""Where a request comes from."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the address that a login is counted under.

    Behind a proxy that is the last address of X-Forwarded-For: the one that our own proxy added. What
    stands before it came from the client, who can write what he likes there. Where there is no proxy the
    header is not looked at, and neither is one that has no address at its end.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not settings.BEHIND_TLS_PROXY:
        return peer
    last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return peer
