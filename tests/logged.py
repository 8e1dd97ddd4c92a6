"""What our own code logged, by the names of its entries (docs/logs.md)."""

from __future__ import annotations

from typing import Any

import pytest


def entries(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the entries of this name, oldest first: their fields, before anything is cut."""
    return [
        record.msg
        for record in caplog.records
        if isinstance(record.msg, dict) and record.msg["event"] == event
    ]
