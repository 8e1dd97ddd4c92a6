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
from tests.airflow_server import FAULTS, PASSWORD, AirflowServer
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import assert_calm
from tests.broker.wire import Wire
from tests.factories import airflow_event, message
from tests.sns_server import say_nothing, serve

#: Further back than the backfill reaches, so that the sweep alone asks.
LONG_AGO = "2026-11-01T05:21:34+00:00"


def test_sweep_asks_airflow(processes: Processes, wire: Wire, airflow_server: AirflowServer) -> None:
    airflow_server.faults = {name: answer for name, (answer, _) in FAULTS.items()}
    airflow_server.faults["hang"] = say_nothing
    airflow_server.faults["redirect"] = serve(b"", 302, {"Location": "https://elsewhere.example.org/"})
    faults = list(airflow_server.faults)
    silent = timezone.now() - timedelta(hours=7)
    for name in [*faults, "ended", "went on", "deleted"]:
        recording.record([message(host=airflow_server.url, dag_run_id=name, at=silent)])
    airflow_server.add("ended", "failed", start_date=LONG_AGO)
    airflow_server.add("went on", "running", start_date=LONG_AGO)
    airflow_server.add("sent nothing", "failed", start_date=timezone.now().isoformat())
    hosts = airflow_server.variable(Kind.AIRFLOW3)
    worker = processes.worker(AIRFLOW_HOSTS=hosts)  # the password is in its environment, by the fixture

    app.send_task("harvest.reconcile_runs")
    app.send_task("harvest.reconcile_runs")  # what a second beat would do
    app.send_task("harvest.backfill_runs")
    wire.publish(airflow_event(dag_run_id="heard of meanwhile", host=airflow_server.url))
    runs = HarvestRun.objects
    wait_until(runs.filter(dag_run_id="sent nothing").exists, "the run that sent nothing")
    wait_until(runs.filter(dag_run_id="heard of meanwhile").exists, "the event")
    faulty = runs.filter(dag_run_id__in=faults)
    wait_until(lambda: faulty.filter(airflow_failures=1).count() == len(faults), "all faults")
    wait_until(wire.is_empty, "empty queues")

    assert {(run.status, run.lost_since) for run in faulty} == {("running", None)}
    assert [
        (run.dag_run_id, run.status, run.status_source, run.airflow_state, run.lost_since is not None)
        for run in runs.exclude(dag_run_id__in=faults).order_by("dag_run_id")
    ] == [
        ("deleted", "running", "events", "", True),
        ("ended", "failed", "airflow", "failed", False),
        ("heard of meanwhile", "running", "events", "", False),
        ("sent nothing", "failed", "airflow", "failed", False),
        ("went on", "running", "events", "running", False),
    ]
    for name in ("ended", "went on", "deleted", "hang"):
        assert airflow_server.asked(name) == 1, name
    assert_calm(worker)
    said = worker.log + serializers.serialize("json", TaskResult.objects.all())
    for secret in (PASSWORD, PASSWORD.split()[-1], *airflow_server.tokens):
        assert secret not in said
