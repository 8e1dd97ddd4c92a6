"""Flower and remote control of the workers of SQS, and a monitoring broker that comes and goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kombu import Connection
from kombu.pidbox import Mailbox

from harvest.models import HarvestEvent, HarvestRun
from local.servers import monitoring_broker
from tests.broker.flower import Flower, ping, remote
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import all_done, assert_calm, assert_end_state
from tests.broker.traffic import mixed
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port
from tests.factories import airflow_event

BODY = "w0rds-of-a-b0dy"
WORKERS = {"one@alpha", "two@alpha", "three@beta"}


class Valkey:
    """A monitoring broker that can be stopped, and started again."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._running = ExitStack()

    def start(self) -> None:
        self._running.enter_context(monitoring_broker(self._port, TEMPORARY / "monitor.log"))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """Yield a monitoring broker that runs."""
    valkey = Valkey()
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
def monitor(valkey: Valkey) -> str:
    """Return the URL of a monitoring broker."""
    return valkey.url


def start_workers(processes: Processes, **variables: str) -> None:
    workers = [
        processes.worker(*name.split("@")[:1], host=name.split("@")[1], ready=False, **variables)
        for name in sorted(WORKERS)
    ]
    for worker in workers:
        worker.wait_for("ready.")


@pytest.mark.timeout(180)
def test_flower_shows_three_workers_on_two_hosts_and_controls_them(
    processes: Processes, wire: Wire, monitor: str, valkey: Valkey
) -> None:
    flower = Flower(processes, MONITOR_BROKER_URL=monitor)
    start_workers(processes, MONITOR_BROKER_URL=monitor)
    event = airflow_event(dag_run_conf={"words": BODY}, rikolti_message={"words": BODY})
    for number in range(20):
        wire.publish({**event, "dag_run_id": f"run {number}"})
    wait_until(lambda: all_done(wire), "empty queues")
    wait_until(lambda: set(flower.api("workers?status=1")) == WORKERS, "all workers, by their events")
    wait_until(
        lambda: (
            {worker.get("stats") and name for name, worker in flower.api("workers?refresh=1").items()}
            == WORKERS
        ),
        "all workers, by inspect",
    )

    tasks = flower.api("tasks")
    assert {task["name"] for task in tasks.values()} == {
        "harvest.record_event",
        "harvest.recompute_run_status",
    }
    assert {task["state"] for task in tasks.values()} == {"SUCCESS"}
    assert all(task["runtime"] > 0 for task in tasks.values())
    described = {task["args"] for task in tasks.values() if task["name"] == "harvest.record_event"}
    assert any("message of harvest_collection run" in arguments for arguments in described)

    assert "Grow" in flower.page("worker/one@alpha")
    pages = ["", "tasks", "broker", "api/tasks", "api/workers?refresh=1", "metrics"]
    pages += [f"worker/{name}" for name in WORKERS] + [f"task/{task}" for task in tasks]
    for page in pages:
        assert BODY not in flower.page(page), page
    assert {flower.page("", login=""), flower.page("api/workers", login="operator:guess")} == {"401"}

    flower.api("worker/pool/grow/one@alpha", n="2")
    wait_until(
        lambda: len(flower.api("workers?refresh=1")["one@alpha"]["stats"]["pool"]["processes"]) == 4,
        "a pool of four",
    )
    flower.api("worker/pool/shrink/one@alpha", n="3")
    wait_until(
        lambda: len(flower.api("workers?refresh=1")["one@alpha"]["stats"]["pool"]["processes"]) == 1,
        "a pool of one",
    )
    limited = flower.api(
        "task/rate-limit/harvest.record_event", workername="two@alpha", ratelimit="600/m"
    )
    assert limited["message"] == "new rate limit set"
    # Another way to say it would lose what the task carries.
    refused = flower.page(
        "api/task/rate-limit/harvest.record_event", workername="two@alpha", ratelimit="1/h"
    )
    assert refused == "403"

    def publish(name: str) -> set[str]:
        runs = {f"{name} {number}" for number in range(20)}
        for run_id in sorted(runs):
            wire.publish({**event, "dag_run_id": run_id})
        return runs

    published = publish("while Valkey is stopped")
    valkey.stop()
    published |= publish("after Valkey was stopped")
    told = HarvestRun.objects.filter(dag_run_id__in=published, recompute_due_at=None)
    wait_until(lambda: told.count() == len(published), "all runs, without Valkey")
    valkey.start()
    wait_until(lambda: ping(monitor) == WORKERS, "all workers, by the Valkey that is back")
    published = publish("after Valkey came back")
    wait_until(
        lambda: (
            published
            <= {
                str(task["args"]).strip("()").partition(" of harvest_collection ")[2]
                for task in flower.api("tasks?taskname=harvest.record_event").values()
            }
        ),
        "what happened since, in the Flower that was there before",
    )

    flower.api("worker/shutdown/three@beta", ok="1")
    wait_until(lambda: ping(monitor) == WORKERS - {"three@beta"}, "the end of one worker")

    wire.publish({**event, "dag_run_id": "after all that"})
    wait_until(HarvestRun.objects.filter(dag_run_id="after all that").exists, "the run after")


def test_shutdown_by_remote_control_loses_nothing(
    processes: Processes, wire: Wire, monitor: str
) -> None:
    traffic = mixed(400)
    worker = processes.worker(MONITOR_BROKER_URL=monitor)

    wire.send(traffic.bodies)
    wait_until(HarvestEvent.objects.exists, "the first event")
    with remote(monitor) as app, app.connection() as connection:
        app.control.shutdown(destination=["one@test"], connection=connection)
        wait_until(lambda: not worker.is_alive, "the end of the worker")
    log = worker.log
    processes.worker("two")
    wait_until(lambda: all_done(wire), "empty queues")

    assert worker.terminate() == 0
    assert "Traceback" not in log
    assert_end_state(traffic)


def test_worker_works_while_its_monitoring_broker_comes_goes_and_freezes(
    processes: Processes, wire: Wire
) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    recorded = []

    def record(run_id: str) -> None:
        wire.publish(airflow_event(dag_run_id=run_id))
        runs = HarvestRun.objects.filter(dag_run_id=run_id, recompute_due_at=None)
        wait_until(runs.exists, f"the run {run_id}", patience=20)
        recorded.append(run_id)

    worker = processes.worker(MONITOR_BROKER_URL=url)
    record("before it came")
    worker.wait_for("monitor_unreachable")
    worker.wait_for("remote_control_unreachable")
    with monitoring_broker(port, TEMPORARY / "monitor.log") as broker:
        record("while it was there")
        wait_until(lambda: ping(url) == {"one@test"}, "an answer")
        os.killpg(broker.pid, signal.SIGSTOP)
        try:
            for number in range(5):
                record(f"frozen {number}")
        finally:
            os.killpg(broker.pid, signal.SIGCONT)
        wait_until(lambda: ping(url) == {"one@test"}, "an answer after the frost")
    record("after it went")
    with monitoring_broker(port, TEMPORARY / "monitor.log"):
        flower = Flower(processes, MONITOR_BROKER_URL=url)
        wait_until(lambda: ping(url) == {"one@test"}, "an answer when it is back")
        record("when it was back")
        wait_until(
            lambda: any(
                "when it was back" in str(task["args"]) for task in flower.api("tasks").values()
            ),
            "its events in Flower",
        )

    assert HarvestRun.objects.count() == len(recorded)
    assert_calm(worker)
    assert worker.terminate() == 0


def ask(connection: Connection, name: str, **arguments: Any) -> Any:
    """Send a command to the worker `one@test`, and return what it answers."""
    mailbox: Any = Mailbox("celery", type="fanout", connection=connection)
    (answer,) = mailbox.call(["one@test"], name, arguments, timeout=10)
    return answer["one@test"]


def test_worker_survives_what_strangers_send_to_its_mailbox(
    processes: Processes, wire: Wire, monitor: str
) -> None:
    worker = processes.worker(MONITOR_BROKER_URL=monitor)
    wait_until(lambda: ping(monitor) == {"one@test"}, "an answer")

    with remote(monitor) as app, app.connection() as connection:
        producer = app.amqp.Producer(connection)
        exchange: Any = Mailbox("celery", type="fanout").exchange
        commands: tuple[Any, ...] = (
            [],
            "x",
            {"method": ["x"]},
            {"method": "ping", "arguments": [1]},
            {"method": "x"},
        )
        for command in commands:
            producer.publish(command, exchange=exchange, declare=[exchange], serializer="json")
        producer.publish("x" * 100_000, exchange=exchange, serializer="json")
        producer.publish(
            b"cos\nsystem\n(S'touch pickled'\ntR.",
            exchange=exchange,
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )
        connection.default_channel.client.publish("/0.celery.pidbox", b"\xff no JSON")
        # kombu leaves what it read together with that until something else comes.
        wait_until(lambda: ping(monitor) == {"one@test"}, "an answer after it")
        for name in ("revoke", "terminate", "add_consumer", "cancel_consumer", "report", "pool_restart"):
            assert "is not offered" in ask(connection, name, task_id="x", queue="avram-tasks")["error"]
        for count in (10**9, "1", -1, True):
            assert "error" in ask(connection, "pool_grow", n=count)

    wire.publish(airflow_event())
    wait_until(HarvestRun.objects.exists, "the run")
    assert ping(monitor) == {"one@test"}
    assert worker.is_alive
    assert "Unrecoverable" not in worker.log


def test_worker_without_remote_control_tells_and_does_not_listen(
    processes: Processes, wire: Wire, monitor: str
) -> None:
    flower = Flower(processes, MONITOR_BROKER_URL=monitor)
    processes.worker(MONITOR_BROKER_URL=monitor, REMOTE_CONTROL="0")
    wait_until(lambda: "one@test" in flower.api("workers?status=1"), "the worker in Flower")

    assert ping(monitor) == set()
