"""What a worker and Flower say: neither their own secrets nor what is in a message."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis
from django.core import serializers
from django.utils import timezone
from django_celery_results.models import TaskResult

from celery_app import app
from harvest import recording
from harvest.models import HarvestRun, RejectedMessage
from harvest.provision import TASKS
from harvest.tasks import record_event
from local.servers import monitoring_broker
from tests.airflow_server import PASSWORD, PASSWORD_ENV, USER, AirflowServer
from tests.broker.flower import Flower
from tests.broker.processes import Processes, database_url, wait_until
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port
from tests.factories import airflow_event, message, sns_body
from tests.sentry_server import SentryServer

#: A word in each secret of the processes, and one in what the messages say.
SECRET, MARKER = "s3cr3t", "m4rk3r"

#: What a message may say of itself wherever a reason might quote it.
REFUSED = (
    f"{MARKER}, and no JSON",
    f'["{MARKER}"]',
    sns_body(MARKER, Type="SubscriptionConfirmation", TopicArn=MARKER, Token=MARKER),
    sns_body(MARKER, Type=MARKER),
    sns_body(MARKER),
    sns_body(airflow_event(), Timestamp=MARKER),
    json.dumps(airflow_event(version=MARKER)),
    json.dumps(airflow_event(logical_date=MARKER)),
    json.dumps(airflow_event(dag_run_id=f"{MARKER}\0")),
    json.dumps(airflow_event(dag_id=MARKER * 100)),
    json.dumps(airflow_event(try_number=MARKER)),
    json.dumps(airflow_event(host=f"https://{MARKER}-é")),
)


#: Addresses of an Airflow 3 that lets us in, and of one that does not, and then quotes what we gave it.
WELCOMES, REFUSES = "https://welcomes.example.org", "https://refuses.example.org"


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    with closing(SentryServer()) as server:
        yield server


@pytest.fixture
def variables(airflow_server: AirflowServer, sentry: SentryServer) -> Iterator[dict[str, str]]:
    """An environment in which everything that can hold a secret does, a monitoring broker and Sentry."""
    port = free_port()
    with monitoring_broker(port, TEMPORARY / "monitor.log"):
        with redis.Redis(port=port) as client:
            client.acl_setuser(
                "avram", True, passwords=f"+{SECRET}", keys="*", channels="*", commands=["+@all"]
            )
        yield {
            "DEBUG": "0",
            "SECRET_KEY": SECRET * 10,
            "ALLOWED_HOSTS": "127.0.0.1",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "MONITOR_BROKER_URL": f"redis://avram:{SECRET}@127.0.0.1:{port}/0",
            "DATABASE_URL": with_password(database_url()),
            "RIKOLTI_VERIFY_SIGNATURES": "0",  # what is sent here, nobody has signed
            "FLOWER_PASSWORD": SECRET,
            "METRICS_TOKEN": SECRET,
            "AIRFLOW_HOSTS": json.dumps(airflow_hosts(airflow_server.url)),
            "REFUSED_PASSWORD": SECRET,
            "SENTRY_DSN": sentry.dsn,
        }


def airflow_hosts(url: str) -> dict[str, dict[str, str]]:
    """One server, by each way that needs a password."""
    assert SECRET in PASSWORD
    host = {"url": url, "username": USER, "password_env": PASSWORD_ENV}
    return {
        url: {**host, "kind": "airflow2"},
        WELCOMES: {**host, "kind": "airflow3"},
        REFUSES: {**host, "kind": "airflow3", "password_env": "REFUSED_PASSWORD"},
    }


def with_password(url: str) -> str:
    """Put a password into the URL of a database that asks for none."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    return parts._replace(netloc=f"{parts.username}:{SECRET}@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def overheard(url: str) -> Iterator[list[str]]:
    """Yield all that is published on the monitoring broker meanwhile."""
    with redis.Redis.from_url(url) as client, client.pubsub() as listener:
        heard: list[str] = []
        ended = threading.Event()
        listener.psubscribe("*")

        def listen() -> None:
            while not ended.is_set():
                message = listener.get_message(ignore_subscribe_messages=True, timeout=0.2)
                if message:
                    envelope = json.loads(message["data"])
                    heard.append(base64.b64decode(envelope.pop("body")).decode() + str(envelope))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            ended.set()
            thread.join()


def reported_tasks(sentry: SentryServer) -> set[str]:
    """Return the tasks that failed, as Sentry was told: each with its correlation id."""
    return {
        event["tags"]["task"]
        for event in sentry.events
        if "exception" in event and event["tags"].get("correlation_id")
    }


def assert_chain_can_be_followed(log: str) -> None:
    """Every line is an object, but for Celery's banner; a chain's have one correlation id."""
    entries = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    published = [entry for entry in entries if entry["event"] == "chain_published"]
    (failed,) = (
        one for one in entries if one["event"] == "status_recomputed" and one["status"] == "failed"
    )
    (chain,) = (one for one in published if one["correlation_id"] == failed["correlation_id"])
    (recorded,) = (
        one
        for one in entries
        if one["event"] == "events_recorded" and one["correlation_id"] == failed["correlation_id"]
    )
    assert len(chain["sqs_message_ids"]) == chain["messages"]
    assert recorded["sns_message_ids"]
    assert recorded["task_id"] == chain["correlation_id"]
    assert recorded["dag_run_id"] == chain["dag_run_id"]
    assert recorded["run_id"] == failed["run_id"]
    assert {entry["worker"] for entry in (chain, recorded, failed)} == {"one@test"}


def test_nothing_secret_is_said(
    processes: Processes,
    wire: Wire,
    variables: dict[str, str],
    airflow_server: AirflowServer,
    sentry: SentryServer,
) -> None:
    silent = timezone.now() - timedelta(days=7)
    for host in (airflow_server.url, WELCOMES, REFUSES):
        recording.record([message(host=host, dag_run_id="silent", at=silent)])
    airflow_server.add("silent")
    flower = Flower(processes, **variables)
    content = {"token": MARKER, "error": True, "exception": MARKER}

    with overheard(variables["MONITOR_BROKER_URL"]) as heard:
        worker = processes.worker(ready=True, **variables)
        wire.publish(airflow_event(dag_run_conf=content, rikolti_message=content))
        wire.send(REFUSED)
        wait_until(lambda: RejectedMessage.objects.count() == len(REFUSED), "all rejected messages")
        wait_until(HarvestRun.objects.filter(status="failed").exists, "a failed run")
        app.send_task("harvest.reconcile_runs")
        app.send_task("harvest.backfill_runs")
        asked = HarvestRun.objects.filter(dag_run_id="silent")
        wait_until(lambda: asked.filter(status="succeeded").count() == 2, "the word of two Airflows")
        wait_until(asked.filter(airflow_failures=1).exists, "the refusal of the third")
        wait_until(lambda: worker.log.count("runs_not_listed") >= 5, "no list of its runs")
        # What nobody should put there: no JSON, an unknown task, tasks with the wrong arguments.
        wire.sqs.send_message(QueueUrl=wire.url(TASKS), MessageBody=f"{MARKER} {{")
        app.send_task("harvest.unknown", args=[MARKER], argsrepr="(…)")
        record_event.delay([{"Body": MARKER}])
        record_event.delay(messages=[{"Body": MARKER}])
        worker.wait_for("harvest.unknown")
        wait_until(TaskResult.objects.filter(status="FAILURE").exists, "a failed task")
        wait_until(lambda: any("task-failed" in event for event in heard), "the failure in Flower")
        wait_until(lambda: reported_tasks(sentry), "the failure in Sentry")
        pages = ["", "broker", "tasks", "api/tasks", "api/workers?refresh=1", "metrics"]
        pages += [f"task/{task}" for task in flower.api("tasks")]
        wait_until(
            lambda: "CELERY_" in flower.page("worker/one@test"), "the worker's settings in Flower"
        )
        shown = [flower.page(page) for page in [*pages, "worker/one@test"]]

    said = {
        "the worker's log": worker.log,
        "Flower's log": flower.process.log,
        "Flower": "\n".join(shown),
        "the monitoring broker": "\n".join(heard),
        "Sentry": "\n".join(sentry.received),
        "task results": serializers.serialize("json", TaskResult.objects.all()),
        "what a run says of Airflow": "\n".join(run.airflow_error for run in asked),
    }
    assert "gives no token" in said["what a run says of Airflow"]
    assert "gives no token" in said["the worker's log"]
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert airflow_server.tokens
    assert "record_event" in said["Flower"]
    assert "record_event" in said["the monitoring broker"]
    assert reported_tasks(sentry) == {"harvest.record_event"}
    assert_chain_can_be_followed(worker.log)
    for where, text in said.items():
        for word in (SECRET, MARKER, basic, *airflow_server.tokens):
            assert word not in text, f"{where}: {text[max(0, text.index(word) - 500) :][:1000]}"
