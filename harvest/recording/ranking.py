"""The newest row by the order of the pure rules, asked of a database: text goes by code points.

A database's own order of text is that of its collation, which differs from one to the next.
"""

from __future__ import annotations

from typing import TypeVar

from django.db import connection
from django.db.models import Model, OrderBy, QuerySet, Subquery
from django.db.models.functions import Collate

M = TypeVar("M", bound=Model)

_BY_CODE_POINTS = {"postgresql": "C", "sqlite": "BINARY"}


def newest(rows: QuerySet[M], column: str, *then: str | OrderBy) -> QuerySet[M]:
    """Return the newest row by an indexed column of moments, by ``then`` where some are tied: of any
    number of those it reads one."""
    moment = rows.order_by(f"-{column}").values(column)[:1]
    return rows.filter(**{column: Subquery(moment)}).order_by(*then)[:1]


def largest(column: str) -> OrderBy:
    """Return the order in which the largest text comes first, as Python compares strings."""
    return Collate(column, _BY_CODE_POINTS[connection.vendor]).desc()
