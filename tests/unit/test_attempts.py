"""Tasks, map indexes and attempts, out of a run's events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harvest.airflow import Event, Outcome
from harvest.attempts import known_index, known_try, tasks_of
from tests.factories import START, event

TASK = "mapping.map_page"
FAILED = {"error": True, "exception": "KeyError"}


@dataclass(frozen=True)
class Told:
    """What is read of an event."""

    message_id: str
    sns_timestamp: datetime
    task_id: str | None
    map_index: int | None
    try_number: int | None
    error: bool
    dag_level: bool
    outcome: str


#: Few moments, tasks, indexes and tries, so that many are equal.
events = st.lists(
    st.builds(
        Told,
        message_id=st.text("abé-", min_size=1, max_size=3),
        sns_timestamp=st.integers(0, 4).map(lambda seconds: START + timedelta(seconds=seconds)),
        task_id=st.sampled_from(["fetch", "map", None]),
        map_index=st.sampled_from([None, -1, 0, 1]),
        try_number=st.sampled_from([None, 0, 1, 2]),
        error=st.booleans(),
        dag_level=st.booleans(),
        outcome=st.sampled_from(Outcome),
    ),
    unique_by=lambda told: told.message_id,
    max_size=12,
)


def shape(told: Sequence[Event]) -> dict[str, dict[int | None, list[tuple[int | None, bool, bool]]]]:
    """Return by task and map index the attempts: try, whether it failed, whether it ran again."""
    return {
        task.task_id: {
            instance.map_index: [(a.try_number, a.failed, a.again) for a in instance.attempts]
            for instance in task.instances
        }
        for task in tasks_of(told)
    }


def test_tasks_stand_in_the_order_of_their_first_events() -> None:
    told = [
        event(task_id="mapping.map_page", seconds=2),
        event(task_id="fetching.fetch_collection", seconds=1),
        event(task_id="fetching.fetch_collection", try_number=2, seconds=3),
    ]

    assert list(shape(told)) == ["fetching.fetch_collection", "mapping.map_page"]


def test_newest_attempt_stands_in_front() -> None:
    told = [
        event(task_id=TASK, map_index=7, try_number=1, rikolti_message=FAILED),
        event(task_id=TASK, map_index=7, try_number=2, seconds=60),
        event(task_id=TASK, map_index=3, try_number=1, seconds=9),
    ]

    assert shape(told) == {
        TASK: {3: [(1, False, False)], 7: [(2, False, False), (1, True, False)]},
    }


def test_attempts_of_one_second_are_told_apart_by_their_tries() -> None:
    told = [
        event(message_id="z", task_id=TASK, try_number=1),
        event(message_id="a", task_id=TASK, try_number=2),
    ]

    assert shape(told) == {TASK: {None: [(2, False, False), (1, False, False)]}}


def test_events_of_one_try_are_one_attempt() -> None:
    (task,) = tasks_of([event(seconds=5), event(seconds=1), event(seconds=3)])
    attempt = task.instances[0].current

    assert (attempt.first_at, attempt.last_at) == (
        START + timedelta(seconds=1),
        START + timedelta(seconds=5),
    )
    assert [told.sns_timestamp.second - START.second for told in attempt.events] == [5, 3, 1]


def test_task_that_was_cleared_is_seen_as_such() -> None:
    told = [
        event(task_id=TASK, try_number=1, rikolti_message=FAILED),
        event(rikolti_message={"dag_complete": False, "error": True}, seconds=5),
        event(task_id=TASK, try_number=2, seconds=60),
        event(rikolti_message={"dag_complete": True}, seconds=65),
    ]

    assert shape(told) == {TASK: {None: [(2, False, True), (1, True, False)]}}


def test_try_that_was_counted_anew_after_the_end_is_an_attempt_of_its_own() -> None:
    told = [
        event(task_id=TASK, try_number=1, rikolti_message=FAILED),
        event(rikolti_message={"dag_complete": False, "error": True}, seconds=5),
        event(task_id=TASK, try_number=1, seconds=60),
    ]

    assert shape(told) == {TASK: {None: [(1, False, True), (1, True, False)]}}


def test_dag_level_event_belongs_to_no_task_and_ends_only_what_it_ends() -> None:
    told = [
        event(rikolti_message={"dag_complete": "soon"}),
        event(task_id=TASK, seconds=1),
        event(task_id=None, seconds=2),
    ]

    assert shape(told) == {TASK: {None: [(1, False, False)]}}


def test_try_zero_and_none_are_tries_that_nobody_names() -> None:
    assert [known_try(number) for number in (None, 0, -1, 1, 7)] == [None, None, None, 1, 7]
    assert [known_index(index) for index in (None, -1, -2, 0, 7)] == [None, None, None, 0, 7]
    told = [event(try_number=0, map_index=-1), event(try_number=None, map_index=None, seconds=1)]

    assert list(shape(told).values()) == [{None: [(None, False, False)]}]


@given(events, st.randoms(use_true_random=False))
def test_order_and_copies_change_nothing(told: list[Told], random: Random) -> None:
    shuffled = told + random.sample(told, len(told) // 2)
    random.shuffle(shuffled)

    assert tasks_of(shuffled) == tasks_of(told)


@given(events)
def test_each_event_of_a_task_is_in_one_attempt(told: list[Told]) -> None:
    kept = [
        each.message_id
        for task in tasks_of(told)
        for instance in task.instances
        for attempt in instance.attempts
        for each in attempt.events
    ]

    of_tasks = [each.message_id for each in told if each.task_id is not None and not each.dag_level]
    assert sorted(kept) == sorted(of_tasks)


@given(events)
def test_current_attempt_has_the_newest_event(told: list[Told]) -> None:
    for task in tasks_of(told):
        for instance in task.instances:
            newest = max(attempt.last_at for attempt in instance.attempts)
            assert instance.current.last_at == newest
            assert all(attempt.events for attempt in instance.attempts)
