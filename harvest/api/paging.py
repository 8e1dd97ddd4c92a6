"""Pages of a list, the newest first, by a cursor: where the page before ended.

Django REST framework's own cursor has a place among rows of equal time, up to the thousandth. With more
of them (SNS's time has few digits, and a backfill may bring many rows at once) it would begin anew for
ever. This one names the row.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

#: Rows of a page: by default, and at most.
PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

#: A cursor has some 60 characters.
MAX_CURSOR = 100


class NewestFirst(BasePagination):
    """``moment`` is the column of a time that is indexed; of equal ones the larger id comes first."""

    moment: str

    def paginate_queryset(  # type: ignore[override] # of a list it would make no sense
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        size = _read_size(request.query_params.get("page_size"))
        if cursor := request.query_params.get("cursor"):
            queryset = queryset.filter(self._after(*_decode(cursor)))
        rows = list(queryset.order_by(f"-{self.moment}", "-pk")[: size + 1])
        self._next = None
        if len(rows) > size:
            rows.pop()
            cursor = _encode(getattr(rows[-1], self.moment), rows[-1].pk)
            self._next = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next, "results": data})

    def _after(self, at: datetime, key: int) -> Q:
        # The first condition alone is one that an index answers.
        earlier = Q(**{f"{self.moment}__lt": at}) | Q(pk__lt=key)
        return Q(**{f"{self.moment}__lte": at}) & earlier

    # --- for the description ---

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        following = {
            "type": "string",
            "format": "uri",
            "nullable": True,
            "description": "Where the next page is, null after the last.",
        }
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": following, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where to go on: take it from `next` of the page before.",
                "schema": {"type": "string", "maxLength": MAX_CURSOR},
            },
            {
                "name": "page_size",
                "in": "query",
                "description": "Rows of a page.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_PAGE_SIZE,
                    "default": PAGE_SIZE,
                },
            },
        ]


class RunPages(NewestFirst):
    moment = "last_heard_at"


class EventPages(NewestFirst):
    moment = "sns_timestamp"


def _read_size(text: str | None) -> int:
    if text is None:
        return PAGE_SIZE
    field = serializers.IntegerField(min_value=1, max_value=MAX_PAGE_SIZE)
    try:
        size: int = field.run_validation(text)
    except ValidationError as error:
        raise ValidationError({"page_size": error.detail}) from None
    return size


def _encode(at: datetime, key: int) -> str:
    return base64.urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()} {key}".encode()).decode()


def _decode(cursor: str) -> tuple[datetime, int]:
    """Return the time and the id in a cursor.

    Raises:
        ValidationError: it is none of ours.
    """
    try:
        text = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
        moment, key = text.split(" ") if len(cursor) <= MAX_CURSOR else ("", "")
        at, number = datetime.fromisoformat(moment), int(key)
        if not 0 < number < 2**63 or _encode(at, number) != cursor:
            raise ValueError
    except (ValueError, binascii.Error):  # an error of decoding is a ValueError
        raise ValidationError({"cursor": ["This is no cursor: take it from `next`."]}) from None
    return at, number
