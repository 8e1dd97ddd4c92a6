"""The servers that all scenarios share, and the table at the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chaos.databases import PostgresServer
from tests.chaos.scenarios import Outcome
from tests.chaos.world import QueueProxy
from tests.environment import TEMPORARY

#: So many events a scenario, and some copies and hostile bodies. `make chaos` says how many; all tests
#: together play a short version.
IS_SHORT = not os.environ.get("CHAOS_EVENTS")
EVENTS = int(os.environ.get("CHAOS_EVENTS") or 260)
SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))

COLUMNS = (
    "fault", "injected", "events", "stored", "lost", "doubled", "misplaced", "wrong status",
    "rejected lost", "in queues", "seconds",
)  # fmt: skip

_outcomes: list[Outcome] = []


@pytest.fixture(scope="session")
def queue_proxy(aws: None) -> Iterator[QueueProxy]:
    with closing(QueueProxy(os.environ["AWS_ENDPOINT_URL"])) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with closing(PostgresServer(TEMPORARY / "chaos-postgresql")) as server:
        yield server


@pytest.fixture
def outcomes() -> list[Outcome]:
    """What the table shows."""
    return _outcomes


def pytest_report_header() -> str:
    disk = "" if os.geteuid() == 0 else ", no full disk (this is not root)"
    return f"chaos: seed {SEED}, {EVENTS} events a scenario{disk}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _outcomes:
        return
    terminalreporter.section("chaos")
    rows = [COLUMNS, *map(_row, _outcomes)]
    for row in rows:
        name, *numbers = row
        terminalreporter.line(f"{name:<22}" + "".join(f"{number:>14}" for number in numbers))
    how = f"CHAOS_SEED={SEED} make test-chaos" if IS_SHORT else f"make chaos SEED={SEED}"
    terminalreporter.line(f"The same again: {how}")


def _row(outcome: Outcome) -> tuple[str, ...]:
    count = outcome.count
    wrong = (count.lost, count.doubled, count.misplaced, count.wrong_status, count.lost_rejected)
    left = sum(outcome.depths.values())
    numbers = (outcome.injected, count.sent, count.stored, *map(len, wrong), left)
    return (outcome.name, *map(str, numbers), f"{outcome.seconds:.0f}")
