"""What is news, told as the story of one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import news
from harvest.news import Interest, Kind, Standing, Told

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

words = st.sampled_from(["running", "succeeded", "failed", "stale", "lost"])


def story(*standings: str, before: Kind | None = None) -> list[Kind]:
    """Return what is told of a run that came to stand so, each for long enough to settle."""
    told: Told | None = None
    all_told = []
    for minute, word in enumerate(standings):
        at = NOON + minute * MINUTE
        earlier = Told(before, NOON - MINUTE) if before else None
        if kind := news.find_news(word, Standing(word, at), told, earlier, at):
            told = Told(kind, at)
            all_told.append(kind)
    return all_told


@pytest.mark.parametrize("trouble", [Kind.FAILED, Kind.STALE, Kind.LOST])
def test_trouble_and_its_end_are_news(trouble: Kind) -> None:
    assert story(trouble, "succeeded") == [trouble, Kind.RECOVERED]


def test_run_that_goes_well_is_no_news() -> None:
    assert story("running", "succeeded") == []


def test_failure_of_many_tasks_is_one() -> None:
    assert story(*["failed", "running"] * 50, "failed") == [Kind.FAILED]


def test_failure_after_a_recovery_is_news() -> None:
    assert story("failed", "succeeded", "running", "failed") == [
        Kind.FAILED,
        Kind.RECOVERED,
        Kind.FAILED,
    ]


def test_run_that_succeeds_after_one_that_failed_is_a_recovery() -> None:
    assert story("running", "succeeded", before=Kind.FAILED) == [Kind.RECOVERED]


def test_run_that_succeeds_after_a_recovery_is_no_news() -> None:
    assert story("running", "succeeded", before=Kind.RECOVERED) == []


def test_run_that_falls_silent_twice_is_news_twice() -> None:
    assert story("stale", "running", "stale") == [Kind.STALE, Kind.STALE]


def test_silence_that_was_told_is_no_news() -> None:
    told = Told(Kind.STALE, NOON)

    assert news.find_news("stale", Standing("stale", NOON - MINUTE), told, None, NOON) is None


def test_change_that_the_run_took_back_meanwhile_is_no_news() -> None:
    assert news.find_news("failed", Standing("running", NOON), None, None, NOON) is None


@pytest.mark.parametrize(("age", "told"), [(news.OLD, Kind.FAILED), (news.OLD + MINUTE, None)])
def test_old_failure_is_history(age: timedelta, told: Kind | None) -> None:
    standing = Standing("failed", NOON - age)

    assert news.find_news("failed", standing, None, None, NOON) is told


@given(st.lists(words))
def test_nothing_but_silence_is_told_twice_in_a_row(standings: list[str]) -> None:
    told = story(*standings)

    assert all(a is not b or a is Kind.STALE for a, b in pairwise(told))


@given(st.lists(words))
def test_recovery_follows_trouble(standings: list[str]) -> None:
    told = story(*standings)

    assert all(told[i - 1].trouble for i, kind in enumerate(told) if kind is Kind.RECOVERED)
    assert not told or told[0].trouble


@pytest.mark.parametrize(
    ("status", "stale", "lost", "word"),
    [
        ("running", None, None, "running"),
        ("running", NOON, None, "stale"),
        ("running", NOON, NOON, "lost"),
        ("failed", None, NOON, "failed"),
        ("succeeded", NOON, NOON, "succeeded"),
    ],
)
def test_stand_is_one_word(
    status: str, stale: datetime | None, lost: datetime | None, word: str
) -> None:
    assert news.stand(status, stale, lost) == word


@pytest.mark.parametrize(
    ("interest", "covered"),
    [
        (Interest(frozenset({"failed"})), True),
        (Interest(frozenset({"recovered"})), False),
        (Interest(frozenset()), False),
        (Interest(frozenset({"failed"}), collection_ids=frozenset({1, 2})), True),
        (Interest(frozenset({"failed"}), collection_ids=frozenset({2})), False),
        (Interest(frozenset({"failed"}), campuses=frozenset({"UC Davis", "UCLA"})), True),
        (Interest(frozenset({"failed"}), campuses=frozenset({"UCLA"})), False),
        (Interest(frozenset({"failed"}), dag_ids=frozenset({"harvest_collection"})), True),
        (Interest(frozenset({"failed"}), dag_ids=frozenset({"publish_collection"})), False),
        (
            Interest(frozenset({"failed"}), collection_ids=frozenset({1}), campuses=frozenset({"UCLA"})),
            False,
        ),
    ],
)
def test_interest_covers_what_matches_all_that_it_names(interest: Interest, covered: bool) -> None:
    news_of = (Kind.FAILED, "harvest_collection", 1, frozenset({"UC Davis"}))

    assert interest.covers(*news_of) is covered


def test_interest_in_a_collection_covers_no_run_without_one() -> None:
    interest = Interest(frozenset({"failed"}), collection_ids=frozenset({1}))

    assert not interest.covers(Kind.FAILED, "harvest_collection", None, frozenset())


def test_waits_grow_and_end() -> None:
    waits = [news.next_wait(attempts) for attempts in range(1, news.MAX_ATTEMPTS + 1)]

    assert waits[-1] is None
    known = [wait for wait in waits if wait is not None]
    assert len(known) == news.MAX_ATTEMPTS - 1
    assert known == sorted(known)
