"""Moments, as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from harvest.admin import moments


def test_moment_is_in_utc_until_a_browser_knows_better() -> None:
    at = datetime(2026, 11, 24, 22, 21, 34, 5000, tzinfo=timezone(timedelta(hours=-8)))

    assert moments.moment(at) == (
        '<time datetime="2026-11-25T06:21:34.005000+00:00" title="2026-11-25 06:21:34 UTC">'
        "2026-11-25 06:21:34 UTC</time>"
    )
    assert moments.moment(at) == moments.moment(at.astimezone(UTC))


def test_no_moment_is_a_dash() -> None:
    assert moments.moment(None) == "-"
