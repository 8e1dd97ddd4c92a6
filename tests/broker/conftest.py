"""Real processes on a real wire: local AWS, workers, beat, and the test's own database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.broker.processes import Processes, database_url
from tests.broker.wire import Wire

#: Short, so that what a killed worker held comes back while a test waits.
VISIBILITY_TIMEOUT = 5


@pytest.fixture
def wire(aws: None) -> Wire:
    """The topic and empty queues."""
    wire = Wire()
    wire.renew(VISIBILITY_TIMEOUT)
    return wire


@pytest.fixture
def processes(transactional_db: None, wire: Wire) -> Iterator[Processes]:
    """What starts workers and beat on the test's database, and ends them."""
    with closing(Processes(DATABASE_URL=database_url())) as processes:
        yield processes


if os.environ.get("TEST_ENGINE") != "postgresql":
    # A file is never away.
    collect_ignore = ["test_database_away.py"]
