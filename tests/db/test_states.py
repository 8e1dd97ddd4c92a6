"""docs/states.md: each cell of its table is played, from each status."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import product

import pytest
from django.utils import timezone

from avram.environment import ROOT
from harvest import recording
from harvest.airflow_api import AirflowRun
from harvest.models import HarvestRun, RunChange
from harvest.sns import SqsMessage
from tests.documented import rows
from tests.factories import START, complete, failed, message

pytestmark = pytest.mark.django_db

Source = HarvestRun.StatusSource
Status = HarvestRun.Status

HOUR = timedelta(hours=1)
TABLE = {source.strip("`"): cells for source, *cells in rows("states.md", "What decides")}
EVENT = {Status.RUNNING: message, Status.SUCCEEDED: complete, Status.FAILED: failed}
ENDED = {"success": Status.SUCCEEDED, "failed": Status.FAILED}


def hear(one: SqsMessage) -> int:
    """Record an event and let the run tell of it. Return the run's id."""
    run_id = recording.record([one]).run_id
    assert run_id is not None
    recording.recompute(run_id)
    return run_id


def answer(run_id: int, state: str, asked_at: datetime) -> None:
    told = AirflowRun(
        dag_id="harvest_collection", dag_run_id=f"run {run_id}", state=state, logical_date=START,
        start_date=START, end_date=None, conf={}, note="",
    )  # fmt: skip
    recording.record_answer(run_id, told, asked_at)


def make_run(status: Status, source: Source, name: str) -> int:
    """Make a run of this status by what gives it that. It was heard of three hours ago."""
    now = timezone.now()
    first = EVENT[status] if source == Source.EVENTS else EVENT[Status.FAILED]
    run_id = hear(first(at=now - 3 * HOUR, dag_run_id=name))
    if source == Source.AIRFLOW:
        # That a run goes on is believed of one that Airflow itself had called ended.
        answer(run_id, "success" if status != Status.FAILED else "failed", now - 2.5 * HOUR)
        if status == Status.RUNNING:
            answer(run_id, "running", now - 2 * HOUR)
    elif source == Source.PERSON:
        recording.set_status(run_id, status, "seen")
    run = HarvestRun.objects.get(pk=run_id)
    assert (run.status, run.status_source) == (status, source)
    return run_id


def play(run_id: int, source: Source, column: int, word: Status, state: str, name: str) -> None:
    """Let happen what a column of the table says."""
    now = timezone.now()
    match column:
        case 0:
            hear(EVENT[word](at=now + HOUR, dag_run_id=name))
        case 1:
            before = now - (4 * HOUR if source == Source.EVENTS else 2.75 * HOUR)
            hear(EVENT[word](at=before, dag_run_id=name))
        case 2 | 3:
            answer(run_id, state, now)
        case 4:
            recording.record_not_found(run_id, "DAGRun not found", now)
        case 5:
            recording.set_status(run_id, word, "decided")


#: What a column is played with: a status that is told, or Airflow's word for one.
INPUTS: tuple[tuple[tuple[Status, str], ...], ...] = (
    tuple((status, "") for status in Status),
    tuple((status, "") for status in Status),
    tuple((status, state) for state, status in ENDED.items()),
    tuple((Status.RUNNING, state) for state in ("queued", "running")),
    ((Status.RUNNING, ""),),
    tuple((status, "") for status in Status),
)


def test_table_has_what_a_status_may_rest_on() -> None:
    assert list(TABLE) == Source.values
    assert all(len(cells) == len(INPUTS) for cells in TABLE.values())


@pytest.mark.parametrize("column", range(len(INPUTS)))
@pytest.mark.parametrize("source", Source)
def test_what_decides(source: Source, column: int) -> None:
    cell = TABLE[source][column]
    for number, (status, (word, state)) in enumerate(product(Status, INPUTS[column])):
        name = f"run {number}"
        run_id = make_run(status, source, name)

        play(run_id, source, column, word, state, name)

        run = HarvestRun.objects.get(pk=run_id)
        if cell.startswith("stays"):
            expected = (status, source)
        else:
            told = re.fullmatch(r"(?:its|their) word, `(\w+)`", cell)
            assert told is not None, cell
            expected = (word, Source(told[1]))
        assert (run.status, run.status_source) == expected, f"{status}, {word or state}"
        assert (run.lost_since is not None) == ("lost" in cell and status == Status.RUNNING)


def test_page_names_each_status_and_source_and_kind_of_change() -> None:
    text = (ROOT / "docs" / "states.md").read_text()
    first = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    named = [value for cell in first for value in re.findall(r"`(\w+)`", cell)]

    assert set(named) == {*Status.values, *Source.values, *RunChange.Kind.values}
