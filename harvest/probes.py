"""/healthz and /readyz, for whoever watches the web process: load balancers, containers, people.

They are answered before all else: probes come by plain HTTP, by the address of a machine that is in no
ALLOWED_HOSTS, and without a login.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

from harvest.readiness import Readiness, is_ready


class ProbesMiddleware:
    """Answers the two addresses, and leaves all others to the site."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._readiness = Readiness()
        self._answers = {"/healthz": self._say_that_it_is_up, "/readyz": self._say_what_is_ready}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self._answers.get(request.path_info)
        if answer is None:
            return self._get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = answer()
        response["Cache-Control"] = "no-store"
        return response

    def _say_that_it_is_up(self) -> JsonResponse:
        return JsonResponse({"up": True})

    def _say_what_is_ready(self) -> JsonResponse:
        report = self._readiness.report()
        ready = is_ready(report)
        response = JsonResponse({"ready": ready, "parts": report}, status=200 if ready else 503)
        # Django would log an error each time that someone asks. Who asks has the answer.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response
