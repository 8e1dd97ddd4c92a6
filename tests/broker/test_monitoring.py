"""Flower, started by the Procfile's line, sees the workers of SQS."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

from harvest.models import HarvestRun
from local.servers import monitoring_broker
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import assert_calm
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port
from tests.factories import airflow_event


def test_flower_lists_worker_and_tasks(processes: Processes, wire: Wire) -> None:
    broker_port, flower_port = free_port(), free_port()
    variables = {
        "MONITOR_BROKER_URL": f"redis://127.0.0.1:{broker_port}/0",
        "FLOWER_UNAUTHENTICATED_API": "1",
    }

    def ask(path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{flower_port}/api/{path}", timeout=10) as response:
            return json.load(response)

    with monitoring_broker(broker_port, TEMPORARY / "monitor.log"):
        flower = processes.start(
            "celery", "-A", "celery_app:monitor", "flower",
            "--address=127.0.0.1", f"--port={flower_port}",
            **variables,
        )  # fmt: skip
        flower.wait_for("Visit me at")
        worker = processes.worker("seen", ready=True, **variables)
        wire.publish(airflow_event(rikolti_message={"secret": "of the body"}))
        wait_until(lambda: len(ask("tasks")) == 2, "two tasks in Flower")

        tasks = ask("tasks")

        assert {task["name"] for task in tasks.values()} == {
            "harvest.record_event",
            "harvest.recompute_run_status",
        }
        assert {task["worker"] for task in tasks.values()} == {"seen@test"}
        assert "secret" not in json.dumps(tasks)
        worker.terminate()


def test_worker_works_while_its_monitoring_broker_comes_and_goes(
    processes: Processes, wire: Wire
) -> None:
    port = free_port()

    def record(run_id: str) -> None:
        wire.publish(airflow_event(dag_run_id=run_id))
        runs = HarvestRun.objects.filter(dag_run_id=run_id, recompute_due_at=None)
        wait_until(runs.exists, f"the run {run_id}")

    worker = processes.worker(MONITOR_BROKER_URL=f"redis://127.0.0.1:{port}/0")
    record("before it came")
    worker.wait_for("the monitor is away")
    with monitoring_broker(port, TEMPORARY / "monitor.log"):
        record("while it was there")
    record("after it went")

    assert_calm(worker)
    assert worker.terminate() == 0
