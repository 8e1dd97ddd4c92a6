"""What each entry says of the task that it is part of: bound when it begins, let go when it ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars

from avram import logcontext


def request(task_id: str, **attributes: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{"id": task_id, "root_id": None, "retries": 0, "is_eager": False, **attributes}
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, {"correlation_id": "1d"}),
        ({"root_id": "r00t"}, {"correlation_id": "r00t"}),
        ({"root_id": "r00t", "retries": 2}, {"correlation_id": "r00t", "retries": 2}),
    ],
    ids=["first", "of a chain", "again"],
)
def test_task_has_a_context(attributes: dict[str, object], expected: dict[str, object]) -> None:
    one = request("1d", **attributes)

    logcontext.begin_task(one, "harvest.prune")
    assert get_contextvars() == {"task": "harvest.prune", "task_id": "1d", **expected}

    bind_contextvars(run_id=1)
    logcontext.end_task(one)
    assert get_contextvars() == {}


def test_nothing_is_left_of_a_task_whose_end_was_not_heard() -> None:
    logcontext.begin_task(request("killed"), "harvest.tell")
    bind_contextvars(run_id=1)

    one = request("next")
    logcontext.begin_task(one, "harvest.prune")
    assert get_contextvars() == {"task": "harvest.prune", "task_id": "next", "correlation_id": "next"}
    logcontext.end_task(one)


def test_eager_task_gives_back_what_its_caller_had() -> None:
    with bound_contextvars(task="harvest.tell", task_id="caller", request_id="request"):
        one = request("1d", is_eager=True)
        logcontext.begin_task(one, "harvest.prune")
        assert get_contextvars()["task_id"] == "1d"
        assert get_contextvars()["request_id"] == "request"

        logcontext.end_task(one)
        assert get_contextvars() == {
            "task": "harvest.tell",
            "task_id": "caller",
            "request_id": "request",
        }
