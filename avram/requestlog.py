"""One log entry for each request that the site answers, and a request id in all that it logs."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

import structlog
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from structlog.contextvars import bind_contextvars, clear_contextvars

from harvest.renewal import is_asked_again

logger = structlog.stdlib.get_logger(__name__)

#: What a proxy may have named a request. Anything else is not believed to be an id.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,99}")


class RequestLogMiddleware:
    """Binds the request's id, says it in the answer, and logs how it was answered.

    Of the address only the path: a query may hold what people look for.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        request_id = _request_id(request.headers.get("X-Request-ID", ""))
        bind_contextvars(request_id=request_id)
        response = self._get_response(request)
        response["X-Request-ID"] = request_id
        if not is_asked_again(request):  # such a page asks every few seconds
            logger.info(
                "request_answered",
                method=request.method,
                path=request.path,
                view=request.resolver_match.view_name if request.resolver_match else None,
                status=response.status_code,
                milliseconds=round((time.monotonic() - started) * 1000),
                user_id=_user_id(request),
            )
        return response


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _user_id(request: HttpRequest) -> int | None:
    """Return who asked, where a page wanted to know: to find out costs queries."""
    known = vars(request)
    user = known.get("_cached_user", known.get("user"))
    return None if user is None or isinstance(user, SimpleLazyObject) else user.pk


def forget(**kwargs: object) -> None:
    """Let nothing of one request show in the next of this thread, nor in what comes between."""
    clear_contextvars()


# Not in the middleware: of what it lets through, Django logs the error after it.
request_started.connect(forget, dispatch_uid="avram.requestlog")
request_finished.connect(forget, dispatch_uid="avram.requestlog")
