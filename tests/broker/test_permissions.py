"""What worker and beat really ask AWS for is what harvest/permissions.py, and so deploy/iam, allows.

(What commands ask for, tests/broker/test_docs.py tells.)
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from avram.environment import ROOT
from harvest.models import HarvestRun
from harvest.permissions import ALLOWED, Process
from harvest.provision import EVENTS, TASKS
from tests.broker.processes import Processes, wait_until
from tests.broker.wire import Wire
from tests.factories import airflow_event


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "asked"


RECORDER = str(ROOT / "tests" / "recorder")


def asked(record: Path) -> dict[str, set[str]]:
    """Return what was asked of each queue, in the words of IAM, for which a batch is no other action."""
    found: dict[str, set[str]] = {}
    for line in record.read_text().splitlines():
        service, operation, name = line.split(" ")
        assert service == "sqs"
        found.setdefault(name, set()).add(operation.removesuffix("Batch"))
    return found


def assert_allowed(record: Path, process: Process) -> None:
    for queue, actions in asked(record).items():
        assert actions <= ALLOWED[process].get(queue, frozenset()), f"{process} asked {queue}"


def test_worker_asks_for_what_it_is_allowed(wire: Wire, processes: Processes, record: Path) -> None:
    worker = processes.worker(PYTHONPATH=RECORDER, AWS_RECORD=str(record))
    wire.publish(airflow_event())
    wait_until(lambda: HarvestRun.objects.filter(status="running").exists(), "a run")
    wait_until(wire.is_empty, "empty queues")

    worker.terminate()

    assert_allowed(record, Process.WORKER)
    assert {"ReceiveMessage", "DeleteMessage"} <= asked(record)[EVENTS]
    assert {"ReceiveMessage", "DeleteMessage", "SendMessage"} <= asked(record)[TASKS]


def test_beat_asks_for_what_it_is_allowed(wire: Wire, processes: Processes, record: Path) -> None:
    interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="sweep", task="harvest.reconcile_runs", interval=interval)

    beat = processes.beat(PYTHONPATH=RECORDER, AWS_RECORD=str(record))
    wait_until(lambda: wire.depths()[TASKS] > 0, "a sweep on the queue")
    beat.terminate()

    assert_allowed(record, Process.BEAT)
    assert asked(record) == {TASKS: {"SendMessage"}}
