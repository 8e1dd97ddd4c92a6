"""The rule of the published version, on made-up runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.published import newest_publication, published_version
from tests.factories import START


@dataclass(frozen=True)
class Run:
    target_version: str | None = "v1"
    status: str = "succeeded"
    logical_date: datetime = START
    dag_run_id: str = "manual__1"
    dag_id: str = "publish_collection"
    host: str = ""

    def later(self, **fields: Any) -> Run:
        return replace(self, logical_date=self.logical_date + timedelta(hours=1), **fields)


runs = st.builds(
    Run,
    target_version=st.sampled_from([None, "", "v1", "v2"]),
    status=st.sampled_from(["running", "succeeded", "failed"]),
    logical_date=st.integers(0, 2).map(lambda hours: START + timedelta(hours=hours)),
    dag_run_id=st.sampled_from(["a", "b", "B", "é"]),
    host=st.sampled_from(["", "https://h1.example.org"]),
)


def unique(drawn: list[Run]) -> list[Run]:
    """Return one run of each name, as the database has it."""
    return list({(run.host, run.dag_id, run.dag_run_id): run for run in drawn}.values())


@given(st.lists(runs).map(unique), st.randoms())
def test_version_depends_on_the_set_of_runs_alone(drawn: list[Run], random: Random) -> None:
    again = [*drawn, *drawn[:2]]
    random.shuffle(again)

    assert published_version(again, "v0") == published_version(drawn, "v0")


@given(st.lists(runs).map(unique))
def test_version_is_that_of_a_run_that_has_not_failed(drawn: list[Run]) -> None:
    said = {run.target_version for run in drawn if run.status != "failed"} - {None}

    assert published_version(drawn, "v0") in (said or {"v0"})


@given(st.lists(runs).map(unique))
def test_version_without_its_newest_run_is_the_one_before(drawn: list[Run]) -> None:
    newest = newest_publication(drawn)
    if newest is None:
        return

    before = newest_publication(drawn, before=newest)

    assert before == newest_publication([run for run in drawn if run != newest])


@pytest.mark.parametrize(
    ("newer", "version"),
    [
        ({"target_version": "v2"}, "v2"),
        ({"target_version": "v2", "status": "running"}, "v2"),
        ({"target_version": "v2", "status": "failed"}, "v1"),
        ({"target_version": "", "status": "running"}, ""),
        ({"target_version": "", "status": "failed"}, "v1"),
        ({"target_version": None}, "v1"),
    ],
)
def test_version_by_the_newest_run(newer: dict[str, str | None], version: str) -> None:
    assert published_version([Run(), Run().later(**newer)]) == version


def test_version_by_date_not_by_run_id() -> None:
    assert published_version([Run("v1", dag_run_id="z"), Run("v2", dag_run_id="a").later()]) == "v2"


def test_version_of_equal_dates_is_that_of_the_larger_run_id() -> None:
    assert published_version([Run("v2", dag_run_id="b"), Run("v1", dag_run_id="a")]) == "v2"


def test_version_without_runs_is_the_registered_one() -> None:
    assert published_version([], "v0") == "v0"
    assert published_version([Run(status="failed")], "v0") == "v0"
