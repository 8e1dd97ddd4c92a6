"""The order in which the pure rules put text, asked of a database: by code points.

A database's own order is that of its collation, which differs from one to the next.
"""

from __future__ import annotations

from django.db import connection
from django.db.models.functions import Collate

_BY_CODE_POINTS = {"postgresql": "C", "sqlite": "BINARY"}


def by_code_points(column: str) -> Collate:
    """Return what orders a column of text as Python orders strings."""
    return Collate(column, _BY_CODE_POINTS[connection.vendor])
