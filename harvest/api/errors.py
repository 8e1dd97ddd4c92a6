"""What is answered when something is wrong: JSON, whose ``detail`` says what."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler


def answer_error(error: Exception, context: Any) -> Response | None:
    """Return the answer to an error, with ``errors`` by parameter where these are wrong.

    What nobody foresaw is left to Django, which logs it.
    """
    if isinstance(error, OperationalError | InterfaceError):
        detail = "The database is away or busy. Try again in a moment."
        return Response({"detail": detail}, 503, headers={"Retry-After": "5"})
    if isinstance(error, Http404):
        error = NotFound("There is none with this id.")  # Django would name our classes.
    response = exception_handler(error, context)
    if response is not None and isinstance(error, ValidationError):
        response.data = {"detail": "Some parameters are not valid.", "errors": response.data}
    return response
