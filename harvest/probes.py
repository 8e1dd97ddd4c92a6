"""/healthz, /readyz and /metrics, for whoever watches the web process: load balancers, containers,
Prometheus, people.

They are answered before all else: probes come by plain HTTP, by the address of a machine that is in no
ALLOWED_HOSTS, and without a login. Metrics are for who has the token.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    JsonResponse,
)

from harvest import exposition
from harvest.gauges import TableCollector
from harvest.readiness import Readiness, is_ready

logger = structlog.stdlib.get_logger(__name__)


class ProbesMiddleware:
    """Answers the three addresses, and leaves all others to the site."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._readiness = Readiness()
        self._tables = TableCollector()
        self._answers = {
            "/healthz": self._say_that_it_is_up,
            "/readyz": self._say_what_is_ready,
            exposition.PATH: self._tell_metrics,
        }

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self._answers.get(request.path_info)
        if answer is None:
            return self._get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = answer(request)
        response["Cache-Control"] = "no-store"
        return response

    def _say_that_it_is_up(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"up": True, "version": settings.VERSION})

    def _say_what_is_ready(self, request: HttpRequest) -> JsonResponse:
        report = self._readiness.report()
        ready = is_ready(report)
        response = JsonResponse({"ready": ready, "parts": report}, status=200 if ready else 503)
        # Django would log an error each time that someone asks. Who asks has the answer.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    def _tell_metrics(self, request: HttpRequest) -> HttpResponse:
        if not exposition.is_offered():
            return HttpResponseNotFound()
        if not exposition.may_ask(request.headers.get("Authorization", "")):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            body, content_type = exposition.render(request.headers.get("Accept", ""), self._tables)
        except (OSError, ValueError) as error:
            logger.warning("metrics_not_told", error=str(error))
            return HttpResponse(status=500)
        return HttpResponse(body, content_type=content_type)
