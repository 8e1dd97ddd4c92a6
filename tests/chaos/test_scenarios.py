"""Nothing is lost and nothing counts twice, whatever goes wrong."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing, nullcontext
from operator import attrgetter

import pytest

from tests.broker.wire import Wire
from tests.chaos.conftest import EVENTS, IS_SHORT, SEED
from tests.chaos.databases import Postgres, Sqlite, small_disk, sqlite_template
from tests.chaos.faults import disk_full
from tests.chaos.scenarios import SCENARIOS, SHORT, Outcome, Play, Scenario, patience
from tests.chaos.traffic import interleaved, signed
from tests.chaos.world import QueueProxy, World
from tests.environment import TEMPORARY

#: More than the scenario's own patience, which says what is missing.
pytestmark = pytest.mark.timeout(patience(EVENTS) + 120)


@pytest.fixture(params=SHORT if IS_SHORT else SCENARIOS, ids=attrgetter("name"))
def scenario(request: pytest.FixtureRequest) -> Scenario:
    chosen: Scenario = request.param
    return chosen


@pytest.fixture
def database(scenario: Scenario, request: pytest.FixtureRequest) -> Iterator[Sqlite | Postgres]:
    name = f"chaos_{scenario.name}".replace("-", "_")
    if scenario.engine == "postgresql":
        yield Postgres(request.getfixturevalue("postgres_server"), name)
        return
    folder = TEMPORARY / name
    fills_disk = (disk_full,) in scenario.groups
    if fills_disk and os.geteuid() != 0:
        pytest.skip("only root may mount a disk: unshare -Urm make chaos SCENARIO=disk-full")
    disk = small_disk(folder) if fills_disk else nullcontext(folder)
    folder.mkdir()
    with disk:
        yield Sqlite(folder, sqlite_template(TEMPORARY))


@pytest.fixture
def world(scenario: Scenario, database: Sqlite | Postgres, queue_proxy: QueueProxy) -> Iterator[World]:
    wire = Wire()
    wire.renew(scenario.visibility_timeout(EVENTS))
    queue_proxy.break_requests()
    # A str as seed, unlike a hash, is the same in every process.
    rng = random.Random(f"{SEED} {scenario.name}")
    with closing(World(rng, wire, database, queue_proxy, verifies=scenario.signed)) as world:
        yield world


def test_nothing_is_lost(scenario: Scenario, world: World, outcomes: list[Outcome]) -> None:
    traffic = interleaved(EVENTS, world.rng)
    if scenario.signed:
        traffic = signed(*traffic, world.rng)
    outcome = Play(scenario, world, *traffic).run()

    outcomes.append(outcome)
    assert outcome.is_right, outcome
    missing = [evidence for evidence in scenario.evidence if not evidence(world)]
    assert missing == [], "these faults did not come through"
    assert outcome.requests_broken or not scenario.breaks_requests, "no request to SQS was broken"
    assert world.worker.is_alive
