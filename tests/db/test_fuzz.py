"""The fuzzer's second stage, for a moment, on the database of these tests."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connection

from fuzz import bodies, properties, tables
from fuzz.seeds import seeds
from harvest import gauges, reconcile, telling
from harvest.admin import front
from harvest.api.answers import RunAnswer

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


@pytest.mark.parametrize(
    ("module", "reader"),
    [
        (gauges, "_read_heartbeats"),
        (reconcile, "look_at"),
        (telling, "_report"),
        (front, "_runs_chart"),
        (RunAnswer, "get_why"),
    ],
    ids=["metrics", "sweep", "notice", "front page", "API"],
)
def test_fault_of_a_reader_would_be_found(
    module: Any, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*arguments: object) -> None:
        raise OverflowError("a planted fault")

    monkeypatch.setattr(module, reader, stumble)

    with pytest.raises((OverflowError, AssertionError)):
        tables.check_pages(tables.staff(), [next(seeds())])


def test_page_of_too_many_queries_would_be_found_after_any_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "MAX_QUERIES", 1)
    many = 100_000  # more than Django's log has room for
    connection.queries_log.extend({"sql": "", "time": ""} for _ in range(many))

    with pytest.raises(AssertionError, match="queries"):
        tables.check_pages(tables.staff(), [next(seeds())])


def test_lost_message_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "group_by_run", lambda messages: [])

    with pytest.raises(AssertionError, match="lost"):
        tables.check(next(seeds()))
