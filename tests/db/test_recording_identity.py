from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from django.db import transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harvest import recording
from harvest.batching import group_by_run
from harvest.models import HarvestEvent, HarvestRun
from harvest.sns import SqsMessage
from tests.factories import HOST, complete, failed, make_collection, make_run, message, task_error

pytestmark = pytest.mark.django_db

H1, H2, H3 = "https://h1.example.org", "https://h2.example.org", "https://h3.example.org"


def store(*messages: SqsMessage) -> HarvestRun:
    """Do what a chain of tasks does, and return the run."""
    run_id = recording.record(messages).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def hosts() -> dict[str, list[str]]:
    """Return which events the run of each host has."""
    return {
        run.host: sorted(run.events.values_list("message_id", flat=True))
        for run in HarvestRun.objects.all()
    }


def rows() -> set[tuple[Any, ...]]:
    """Return all that the tables tell, but for what depends on the moment of recording."""
    return {
        (
            *run.key,
            run.status,
            repr(run.dag_run_conf),
            run.collection_id,
            run.logical_date,
            run.first_event_at,
            run.last_heard_at,
            run.recompute_due_at,
            run.tasks_done,
            run.tasks_failed,
            run.errors,
            run.failure_reason,
            tuple(sorted(run.events.values_list("message_id", "host", "sns_timestamp"))),
        )
        for run in HarvestRun.objects.all()
    }


# --- Which run an event belongs to ----------------------------------------------------------------


def test_events_of_one_host_are_of_one_run() -> None:
    store(message(message_id="a"))
    store(message(message_id="b"))

    assert hosts() == {HOST: ["a", "b"]}


def test_host_is_one_with_or_without_a_slash() -> None:
    store(message(message_id="a", host=HOST))
    store(message(message_id="b", host=f"{HOST}/"))

    assert hosts() == {HOST: ["a", "b"]}


def test_events_without_host_are_of_one_run() -> None:
    store(message(message_id="a", host=...))
    store(message(message_id="b", host=""))

    assert hosts() == {"": ["a", "b"]}


def test_same_run_id_on_two_hosts_are_two_runs() -> None:
    store(message(message_id="a", host=H1))
    store(message(message_id="b", host=H2))

    assert hosts() == {H1: ["a"], H2: ["b"]}


@pytest.mark.parametrize("keys", [{"dag_id": "publish_collection"}, {"dag_run_id": "other"}], ids=str)
def test_other_dag_or_run_id_is_another_run(keys: dict[str, Any]) -> None:
    store(message(host=...))
    store(message(**keys))

    assert HarvestRun.objects.count() == 2


def test_event_without_host_joins_the_only_run_of_a_host() -> None:
    hosted = store(message(message_id="a", host=H1))

    assert store(message(message_id="b", host=...)) == hosted
    assert hosts() == {H1: ["a", "b"]}


def test_event_with_host_fills_it_in() -> None:
    nameless = store(message(message_id="a", host=...))

    assert store(message(message_id="b", host=H1)) == nameless
    assert hosts() == {H1: ["a", "b"]}


def test_event_without_host_joins_neither_of_two_hosts() -> None:
    store(message(message_id="a", host=H1))
    store(message(message_id="b", host=H2))

    store(message(message_id="c", host=...))

    assert hosts() == {H1: ["a"], H2: ["b"], "": ["c"]}


def test_second_host_parts_the_events_without_host() -> None:
    store(message(message_id="a", host=...))
    store(message(message_id="b", host=H1))

    store(message(message_id="c", host=H2))

    assert hosts() == {"": ["a"], H1: ["b"], H2: ["c"]}


def test_second_host_leaves_a_run_that_has_none_of_them() -> None:
    store(message(message_id="a", host=H1))

    store(message(message_id="b", host=H2))

    assert hosts() == {H1: ["a"], H2: ["b"]}


def test_third_host_finds_them_parted() -> None:
    for message_id, host in (("a", ""), ("b", H1), ("c", H2), ("d", H3), ("e", "")):
        store(message(message_id=message_id, host=host))

    assert hosts() == {"": ["a", "e"], H1: ["b"], H2: ["c"], H3: ["d"]}


def test_host_that_is_known_is_never_changed() -> None:
    run = make_run(host=H1, dag_run_id="manual__1")

    store(message(message_id="a", host=H2, dag_run_id="manual__1"))

    run.refresh_from_db()
    assert run.host == H1


# --- What follows for both runs -------------------------------------------------------------------


def test_parted_runs_tell_each_its_own() -> None:
    store(complete(host=..., seconds=10, dag_run_conf={"collection_id": "1"}))
    store(message(host=H1, seconds=5, dag_run_conf={"collection_id": "2"}))
    assert HarvestRun.objects.get().status == "succeeded"

    store(failed(host=H2, seconds=7))

    assert dict(HarvestRun.objects.values_list("host", "status")) == {
        "": "succeeded",
        H1: "running",
        H2: "failed",
    }
    assert dict(HarvestRun.objects.values_list("host", "conf_collection_id")) == {
        "": 1,
        H1: 2,
        H2: 27551,
    }
    for run in HarvestRun.objects.all():
        assert run.first_event_at == run.last_heard_at == run.events.get().sns_timestamp


def test_parted_events_have_the_collection_of_their_run() -> None:
    make_collection(1)
    store(message(message_id="a", host=..., dag_run_conf={}))
    store(message(message_id="b", host=H1, dag_run_conf={"collection_id": "1"}))

    store(message(message_id="c", host=H2, dag_run_conf={}))

    assert dict(HarvestEvent.objects.values_list("message_id", "collection_id")) == {
        "a": None,
        "b": 1,
        "c": None,
    }


def test_copy_of_a_parted_event_is_a_copy() -> None:
    nameless = message(message_id="a", host=...)
    store(nameless)
    store(message(message_id="b", host=H1))
    store(message(message_id="c", host=H2))

    result = recording.record([nameless])

    assert (result.recorded, result.duplicates) == (0, 1)
    assert hosts() == {"": ["a"], H1: ["b"], H2: ["c"]}


def test_copies_under_another_host_change_nothing() -> None:
    store(message(message_id="a", host=H1))
    store(failed(message_id="b", host=...))
    before = rows()

    for received in (message(message_id="a", host=H2), failed(message_id="b", host=H2)):
        result = recording.record([received])
        assert (result.run_id, result.recorded, result.duplicates) == (None, 0, 1)

    assert rows() == before
    assert store(message(message_id="c", host=H3)).host == H3
    assert hosts() == {H1: ["a"], "": ["b"], H3: ["c"]}


def test_copy_names_no_host() -> None:
    store(message(message_id="a", host=...))

    recording.record([message(message_id="a", host=H1)])

    assert hosts() == {"": ["a"]}


def test_events_are_parted_again_after_the_second_host_is_forgotten() -> None:
    for message_id, host in (("a", ""), ("b", H1), ("c", H2)):
        store(message(message_id=message_id, host=host))
    HarvestRun.objects.get(host=H2).delete()
    store(message(message_id="d", host=...))

    store(message(message_id="e", host=H3))

    assert hosts() == {"": ["a", "d"], H1: ["b"], H3: ["e"]}


# --- The law --------------------------------------------------------------------------------------

makers = st.sampled_from([message, message, complete, failed, task_error])


@st.composite
def stories(draw: st.DrawFn) -> list[SqsMessage]:
    """Events of one name over some hosts, at few moments, so that many are at the same."""
    return [
        draw(makers)(
            message_id=f"{draw(st.integers(0, 999)):03}-{index}",
            seconds=draw(st.integers(0, 3)),
            host=draw(st.sampled_from(["", H1, H2])),
            dag_run_conf=draw(st.sampled_from([{}, {"collection_id": "1"}])),
            map_index=index,
        )
        for index in range(draw(st.integers(1, 7)))
    ]


def result_of(batches: Iterable[Sequence[SqsMessage]], *, late: bool = False) -> set[tuple[Any, ...]]:
    """Record and recompute, at once or when all is recorded, then forget it all. Return the rows."""
    with transaction.atomic():
        make_collection(1)
        run_ids = []
        for batch in batches:
            run_id = recording.record(batch).run_id
            assert run_id is not None
            run_ids.append(run_id)
            if not late:
                recording.recompute(run_id)
        for run_id in run_ids:
            recording.recompute(run_id)
        result = rows()
        transaction.set_rollback(True)
    return result


@given(stories(), st.data())
@settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})  # which takes minutes
def test_rows_do_not_depend_on_order_copies_or_batches(
    story: list[SqsMessage], data: st.DataObject
) -> None:
    one_by_one = result_of([received] for received in story)

    copies = data.draw(st.lists(st.sampled_from(story), max_size=4))
    arrived = data.draw(st.permutations(story + copies))
    cut = data.draw(st.integers(0, len(arrived)))
    batches = [*group_by_run(arrived[:cut]), *group_by_run(arrived[cut:])]
    late = data.draw(st.booleans())

    assert result_of([batch.messages for batch in batches], late=late) == one_by_one
