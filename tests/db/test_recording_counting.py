"""What a run's row tells of its tasks and errors, so that a list need not read its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harvest import limits, recording
from harvest.batching import group_by_run
from harvest.models import HarvestEvent, HarvestRun
from harvest.sns import SqsMessage
from tests.factories import START, complete, failed, make_run, message, task_error

pytestmark = pytest.mark.django_db

H1, H2 = "https://one.example.org", "https://two.example.org"


def store(*messages: SqsMessage) -> HarvestRun:
    """Record messages in one batch, and recompute."""
    run_id = recording.record(list(messages)).run_id
    assert run_id is not None
    recording.recompute(run_id)
    return HarvestRun.objects.get(pk=run_id)


def counts(run: HarvestRun) -> tuple[int, int, int]:
    return run.tasks_done, run.tasks_failed, run.errors


# --- Counts ---------------------------------------------------------------------------------------


def test_tasks_are_counted_each_by_what_it_said_last() -> None:
    run = store(
        message(task_id="fetch"),
        message(task_id="map", map_index=0),
        task_error(task_id="map", map_index=1, seconds=1),
        task_error(task_id="map", map_index=2, seconds=1),
    )
    assert counts(run) == (2, 2, 2)

    run = store(message(task_id="map", map_index=1, seconds=2))
    assert counts(run) == (3, 1, 2)

    run = store(task_error(task_id="fetch", seconds=3), failed(seconds=4))
    assert counts(run) == (2, 2, 4)


def test_event_that_comes_late_does_not_count_for_its_task() -> None:
    store(message(seconds=5))

    assert counts(store(task_error(seconds=1))) == (1, 0, 1)


def test_copies_are_not_counted() -> None:
    first = task_error()
    store(first, first)

    assert counts(store(first)) == (0, 1, 1)


def test_task_without_a_map_index_is_not_mapped() -> None:
    run = store(message(map_index=...), message(map_index=-1, seconds=1))

    assert counts(run) == (1, 0, 0)


def test_what_speaks_of_the_run_is_no_task() -> None:
    assert counts(store(complete(), failed(seconds=1))) == (0, 0, 1)


def test_events_that_leave_a_run_are_counted_where_they_go() -> None:
    store(message(host=H1, task_id="a"))
    store(task_error(host=..., task_id="b"))
    store(message(host=H2, task_id="c"))

    found = {run.host: counts(run) for run in HarvestRun.objects.all()}
    assert found == {"": (0, 1, 1), H1: (1, 0, 0), H2: (1, 0, 0)}


@st.composite
def stories(draw: st.DrawFn) -> list[SqsMessage]:
    """Events of few tasks over some hosts, at few moments."""
    makers = st.sampled_from([message, message, task_error, failed])
    return [
        draw(makers)(
            message_id=f"{index}",
            seconds=draw(st.integers(0, 2)),
            host=draw(st.sampled_from([H1, H1, "", H2])),
            task_id=draw(st.sampled_from(["fetch", "map"])),
            map_index=draw(st.sampled_from([-1, ..., 0])),
        )
        for index in range(draw(st.integers(1, 8)))
    ]


def told(batches: Iterable[Sequence[SqsMessage]]) -> dict[str, tuple[tuple[int, int, int], str]]:
    """Record batches, then forget it all. Return what each run tells, by its host."""
    with transaction.atomic():
        for batch in batches:
            store(*batch)
        result = {run.host: (counts(run), run.failure_reason) for run in HarvestRun.objects.all()}
        for run in HarvestRun.objects.all():
            assert counts(run) == expected(run)
        transaction.set_rollback(True)
    return result


def expected(run: HarvestRun) -> tuple[int, int, int]:
    """Count by the rule, from all stored events."""
    last: dict[tuple[str, int], tuple[object, bool]] = {}
    for event in run.events.all():
        if event.task_id is not None:
            task = (event.task_id, -1 if event.map_index is None else event.map_index)
            word = (event.sns_timestamp, event.error)
            last[task] = max(last.get(task, word), word)
    failures = [failure for _, failure in last.values()]
    return failures.count(False), failures.count(True), run.events.filter(error=True).count()


@given(stories(), st.data())
@settings(max_examples=15, deadline=None, phases=set(Phase) - {Phase.explain})
def test_counts_follow_from_the_set_of_events(story: list[SqsMessage], data: st.DataObject) -> None:
    one_by_one = told([received] for received in story)

    arrived = data.draw(st.permutations(story + data.draw(st.lists(st.sampled_from(story), max_size=4))))
    cut = data.draw(st.integers(0, len(arrived)))
    batches = [*group_by_run(arrived[:cut]), *group_by_run(arrived[cut:])]

    assert told([batch.messages for batch in batches]) == one_by_one


# --- Why ------------------------------------------------------------------------------------------


def test_reason_is_the_last_line_of_the_newest_exception() -> None:
    run = store(
        task_error(),
        message(seconds=1, rikolti_message={"error": True, "exception": "…\n  at 5\nValueError: 5\n"}),
        failed(seconds=2),
    )

    assert run.failure_reason == "ValueError: 5"


def test_reason_without_an_exception_is_what_the_run_says() -> None:
    assert store(failed()).failure_reason == "task_failure"


def test_reason_is_cut_to_its_column() -> None:
    run = store(message(rikolti_message={"error": True, "exception": "x" * 100_000}))

    assert run.failure_reason == "x" * limits.MAX_REASON


@pytest.mark.parametrize("exception", [5, ["a"], {"a": "b"}, None, "", " \n ", True])
def test_reason_is_one_line_of_whatever_is_sent(exception: object) -> None:
    run = store(message(rikolti_message={"error": True, "exception": exception, "reason": "a\nb"}))

    assert "\n" not in run.failure_reason
    assert run.failure_reason


def test_run_without_errors_has_no_reason() -> None:
    assert store(message(), complete(seconds=1)).failure_reason == ""


def test_a_batch_costs_the_same_however_many_events_its_run_has() -> None:
    run = store(task_error(seconds=-1), message())

    def queries(number: int) -> list[str]:
        HarvestEvent.objects.bulk_create(
            HarvestEvent(
                message_id=f"event-{index}",
                harvest_run=run,
                task_id="map",
                map_index=index % 100,
                sns_timestamp=START + timedelta(milliseconds=index),
                error=True,
                outcome="failed",
                rikolti_message={"error": True},
                logical_date=START,
                recorded_at=START,
            )
            for index in range(run.events.count(), number)
        )
        with CaptureQueriesContext(connection) as captured:
            store(message(seconds=1000, dag_run_id=run.dag_run_id, message_id=f"newest {number}"))
        return [query["sql"] for query in captured]

    few, many = queries(20), queries(5_000)

    assert len(few) == len(many)
    for query in many:
        assert "exception" not in query or f"LIMIT {recording.runs.SEARCHED_ERRORS}" in query


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_postgresql_has_an_index_for_what_a_task_said_last() -> None:
    run = make_run()
    with CaptureQueriesContext(connection) as captured:
        store(message(dag_run_id=run.dag_run_id, host=run.host))
    (query,) = (query["sql"] for query in captured if "at_before" in query["sql"])

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("EXPLAIN " + query)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert plan.count("event_newest_of_task") == 2
