"""Ids by which the results of a run's tasks are found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harvest import taskids

names = st.text(max_size=20)


def is_of(task_id: str, run_id: int, dag_id: str, dag_run_id: str) -> bool:
    return any(low <= task_id < high for low, high in taskids.ranges(run_id, dag_id, dag_run_id))


@given(st.integers(1, 2**31), names, names)
def test_id_is_found_by_its_run(run_id: int, dag_id: str, dag_run_id: str) -> None:
    assert is_of(taskids.for_run(run_id), run_id, dag_id, dag_run_id)
    assert is_of(taskids.for_messages(dag_id, dag_run_id), run_id, dag_id, dag_run_id)


def test_id_is_not_found_by_another_run() -> None:
    assert not is_of(taskids.for_run(12), 1, "harvest_collection", "manual__1")
    assert not is_of(taskids.for_messages("harvest_collection", "manual__12"), 1, "harvest_collection",
                     "manual__1")  # fmt: skip


def test_no_id_is_given_twice() -> None:
    assert taskids.for_run(1) != taskids.for_run(1)
