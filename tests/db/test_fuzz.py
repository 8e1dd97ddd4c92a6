"""The fuzzer's second stage, for a moment, on the database of these tests."""

from __future__ import annotations

import random

import pytest

from fuzz import bodies, properties, tables
from fuzz.seeds import seeds

pytestmark = pytest.mark.django_db


def test_every_seed_ends_as_one_event_or_one_rejected_message() -> None:
    outcomes = {tables.check(body) for body in seeds()}

    assert properties.EVENT in outcomes
    assert outcomes >= {"not_json", "unreasonable", "missing_key", "bad_date", "subscription"}


def test_hostile_bodies_and_their_pages() -> None:
    rng = random.Random(1)
    known = list(seeds())
    hostile = [bodies.mutate(b"0", known, rng, bodies.flip_bytes(rng)) for _ in range(100)]

    for body in hostile:
        tables.check(body)
    tables.check_pages(tables.staff(), hostile[: tables.ON_A_PAGE])


def test_lost_message_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "group_by_run", lambda messages: [])

    with pytest.raises(AssertionError, match="lost"):
        tables.check(next(seeds()))
