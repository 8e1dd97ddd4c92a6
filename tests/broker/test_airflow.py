"""A real worker that asks Airflow: one host answers with every fault, and holds up nobody."""

from __future__ import annotations

from datetime import timedelta

from django.core import serializers
from django.utils import timezone
from django_celery_results.models import TaskResult

from celery_app import app
from harvest import recording
from harvest.airflow_api import Kind
from harvest.models import HarvestRun
from tests.airflow_server import FAULTS, PASSWORD, PASSWORD_ENV, AirflowServer
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import assert_calm
from tests.broker.wire import Wire
from tests.factories import airflow_event, message
from tests.sns_server import say_nothing, serve


def test_sweep_asks_airflow(processes: Processes, wire: Wire, airflow_server: AirflowServer) -> None:
    redirect = serve(b"", 302, {"Location": "https://elsewhere.example.org/"})
    faults = {name: answer for name, (answer, _) in FAULTS.items()}
    airflow_server.faults = {**faults, "hang": say_nothing, "redirect": redirect}
    silent = timezone.now() - timedelta(hours=7)
    for name in [*airflow_server.faults, "ended", "went on", "deleted"]:
        recording.record([message(host=airflow_server.url, dag_run_id=name, at=silent)])
    airflow_server.add("ended", "failed")
    airflow_server.add("went on", "running")
    now = timezone.now().isoformat()
    airflow_server.add("sent nothing", "failed", start_date=now)
    worker = processes.worker(
        AIRFLOW_HOSTS=airflow_server.variable(Kind.AIRFLOW3), **{PASSWORD_ENV: PASSWORD}
    )

    app.send_task("harvest.reconcile_runs")
    app.send_task("harvest.reconcile_runs")  # what a second beat would do
    app.send_task("harvest.backfill_runs")
    wire.publish(airflow_event(dag_run_id="heard of meanwhile", host=airflow_server.url))
    runs = HarvestRun.objects
    wait_until(runs.filter(dag_run_id="sent nothing").exists, "the run that sent nothing")
    wait_until(runs.filter(dag_run_id="heard of meanwhile").exists, "the event")
    wait_until(
        lambda: runs.filter(airflow_failures=1).count() == len(airflow_server.faults), "all faults"
    )
    wait_until(wire.is_empty, "empty queues")

    assert runs.filter(
        dag_run_id__in=airflow_server.faults, status="running", lost_since=None
    ).count() == (len(airflow_server.faults))
    told = runs.exclude(dag_run_id__in=airflow_server.faults).values_list(
        "dag_run_id", "status", "status_source", "airflow_state", "lost_since__isnull"
    )
    assert sorted(told) == [
        ("deleted", "running", "events", "", False),
        ("ended", "failed", "airflow", "failed", True),
        ("heard of meanwhile", "running", "events", "", True),
        ("sent nothing", "failed", "airflow", "failed", True),
        ("went on", "running", "events", "running", True),
    ]
    # (Those that are answered with 401 are asked again, with a new token.)
    assert {name: airflow_server.asked(name) for name in ("ended", "went on", "deleted", "hang")} == {
        "ended": 1,
        "went on": 1,
        "deleted": 1,
        "hang": 1,
    }
    assert_calm(worker)
    said = worker.log + serializers.serialize("json", TaskResult.objects.all())
    for secret in (PASSWORD, "s3cr3t", *airflow_server.tokens):
        assert secret not in said
