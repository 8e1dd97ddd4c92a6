"""The counter sees each thing that can be wrong, and knows nothing of the pipeline."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from avram.environment import ROOT
from tests.chaos.counter import Count, count, expect
from tests.factories import HOST, airflow_event, sns_body

RUN = (HOST, "harvest_collection", "one")
EVENTS = [("a", *RUN), ("b", *RUN)]
RUNS = [(*RUN, "succeeded", None, None)]
REJECTED = [("not JSON", "plain")]


def counted(
    events: list[tuple[Any, ...]] = EVENTS,
    runs: list[tuple[Any, ...]] = RUNS,
    rejected: list[tuple[Any, ...]] = REJECTED,
) -> Count:
    bodies = [
        sns_body(airflow_event(dag_run_id="one", host=...), message_id="a"),
        sns_body(
            airflow_event(dag_run_id="one", rikolti_message={"dag_complete": True}), message_id="b"
        ),
    ]
    tables = {"harvestevent": events, "harvestrun": runs, "rejectedmessage": rejected}

    def rows(query: str) -> list[tuple[Any, ...]]:
        return next(stored for table, stored in tables.items() if f"FROM harvest_{table}" in query)

    return count(expect([*bodies, *bodies, "not JSON"], {"not JSON"}), rows)


def test_all_as_it_should_be() -> None:
    result = counted()

    assert result.is_right
    assert (result.sent, result.stored) == (2, 2)


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ({"events": EVENTS[:1]}, "lost"),
        ({"events": [*EVENTS, EVENTS[0]]}, "doubled"),
        ({"runs": [*RUNS, *RUNS]}, "doubled"),
        ({"rejected": [*REJECTED, *REJECTED]}, "doubled"),
        ({"events": [EVENTS[0], ("b", "", *RUN[1:])]}, "misplaced"),
        ({"runs": [(*RUN, "running", None, None)]}, "wrong_status"),
        ({"runs": [(*RUN, "succeeded", "stale", None)]}, "wrong_status"),
        ({"runs": [(*RUN, "succeeded", None, "due")]}, "wrong_status"),
        ({"runs": []}, "wrong_status"),
        ({"rejected": []}, "lost_rejected"),
    ],
)
def test_what_is_wrong_is_seen(stored: dict[str, Any], wrong: str) -> None:
    result = counted(**stored)

    assert not result.is_right
    assert [name for name, value in vars(result).items() if isinstance(value, list) and value] == [wrong]


def test_counter_uses_none_of_the_pipelines_code() -> None:
    code = (
        "import sys, tests.chaos.counter; "
        "sys.exit(any(name.split('.')[0] in ('harvest', 'avram', 'django') for name in sys.modules))"
    )

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
