from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.airflow import Event, Outcome, parse_event
from harvest.sns import parse_notification
from harvest.status import StaleAfter, newest_event, run_status
from tests.factories import START, complete, event, failed, message, task_error

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Told:
    """What the rule reads of an event."""

    sns_timestamp: datetime
    dag_level: bool
    message_id: str
    outcome: Outcome


#: Few moments and ids, so that many are equal. An id is the identity of an event.
events = st.lists(
    st.builds(
        Told,
        sns_timestamp=st.integers(0, 3).map(lambda seconds: START + timedelta(seconds=seconds)),
        dag_level=st.booleans(),
        message_id=st.text("abAB1é-", min_size=1, max_size=3),
        outcome=st.sampled_from(Outcome),
    ),
    unique_by=lambda told: told.message_id,
    max_size=12,
)


def story(*kinds: str) -> list[Event]:
    """The events of a run, one a second."""
    makers = {"task": message, "error": task_error, "complete": complete, "failed": failed}
    return [
        parse_event(parse_notification(makers[kind](seconds=seconds)))
        for seconds, kind in enumerate(kinds)
    ]


def test_run_status_without_events_is_running() -> None:
    assert run_status([]) is Outcome.RUNNING
    assert newest_event([]) is None


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["task"], Outcome.RUNNING),
        (["task", "complete"], Outcome.SUCCEEDED),
        (["task", "error"], Outcome.FAILED),
        (["task", "failed"], Outcome.FAILED),
        (["task", "error", "failed"], Outcome.FAILED),
        (["task", "error", "task"], Outcome.RUNNING),
        (["task", "error", "complete"], Outcome.SUCCEEDED),
        (["task", "complete", "task"], Outcome.RUNNING),
        (["task", "complete", "task", "complete"], Outcome.SUCCEEDED),
        (["task", "failed", "task"], Outcome.RUNNING),
        (["task", "complete", "error", "failed"], Outcome.FAILED),
    ],
    ids=" ".join,
)
def test_run_status_is_that_of_the_newest_event(kinds: Sequence[str], status: Outcome) -> None:
    assert run_status(story(*kinds)) is status
    assert run_status(reversed(story(*kinds))) is status


def test_run_status_of_a_tie_is_that_of_the_event_of_the_whole_run() -> None:
    task = event(message_id="f", rikolti_message={"error": True})
    dag_level = event(message_id="0", rikolti_message={"dag_complete": True})

    assert run_status([task, dag_level]) is run_status([dag_level, task]) is Outcome.SUCCEEDED


def test_run_status_of_a_tie_of_equals_is_that_of_the_larger_message_id() -> None:
    smaller = event(message_id="a", rikolti_message={"error": True})
    larger = event(message_id="b", rikolti_message={})

    assert run_status([smaller, larger]) is run_status([larger, smaller]) is Outcome.RUNNING


def test_run_status_later_goes_before_the_event_of_the_whole_run() -> None:
    dag_level = event(message_id="f", rikolti_message={"dag_complete": True})
    later_task = event(message_id="0", seconds=0.001)

    assert run_status([dag_level, later_task]) is Outcome.RUNNING


@given(events, st.data())
@settings(max_examples=200, deadline=None)
def test_run_status_does_not_depend_on_order_or_copies(told: list[Told], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []
    arrived = data.draw(st.permutations(told + copies))

    assert newest_event(arrived) == newest_event(told)
    assert run_status(arrived) is run_status(told)


@given(events.filter(bool))
@settings(max_examples=200, deadline=None)
def test_newest_event_is_newer_than_all_others(told: list[Told]) -> None:
    newest = newest_event(told)

    assert newest in told
    assert newest is not None
    for other in told:
        assert other.sns_timestamp <= newest.sns_timestamp
        if other.sns_timestamp == newest.sns_timestamp:
            assert other.dag_level <= newest.dag_level
            if other.dag_level == newest.dag_level:
                assert other.message_id <= newest.message_id


@pytest.mark.parametrize(
    ("dag_id", "silence", "stale"),
    [
        ("harvest_collection", 6 * HOUR, True),
        ("harvest_collection", 6 * HOUR - timedelta(microseconds=1), False),
        ("validate_by_mapper_type", HOUR, True),
        ("validate_by_mapper_type", HOUR - timedelta(microseconds=1), False),
        ("harvest_collection", -HOUR, False),
    ],
    ids=["at the bound", "before it", "exception at the bound", "exception before it", "clock behind"],
)
def test_is_stale_after_a_silence(dag_id: str, silence: timedelta, stale: bool) -> None:
    rule = StaleAfter(6 * HOUR, {"validate_by_mapper_type": HOUR})

    assert rule.is_stale(dag_id, last_heard=START, now=START + silence) is stale


def test_silent_at_is_the_first_moment_at_which_a_run_is_stale() -> None:
    rule = StaleAfter(6 * HOUR, {"validate_by_mapper_type": HOUR})

    assert rule.silent_at("harvest_collection", START) == START + 6 * HOUR
    assert rule.silent_at("validate_by_mapper_type", START) == START + HOUR


def test_nothing_is_silent_once_time_has_ended() -> None:
    last = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)

    assert StaleAfter(6 * HOUR).silent_at("harvest_collection", last) is None
    assert StaleAfter(29 * HOUR / 60).silent_at("harvest_collection", last) is not None
