"""What is tried against a real Airflow: each line of the output is one thing seen."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, TypeVar

import django.test
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from harvest import airflow_api, recording, tasks
from harvest.airflow_api import AirflowError, AirflowRun, AlreadyExists, Client, NotFound, Refused
from harvest.airflow_api.hosts import parse_hosts
from harvest.models import Collection, HarvestRun, HarvestTrigger, RunChange
from harvest.reconcile import due_runs
from harvest.sns import SqsMessage
from local.real_airflow.servers import PASSWORD, PATIENCE, USER, RealAirflow
from tests import factories

T = TypeVar("T")

HARVEST, EDITS, VALIDATE, PAUSED = (
    "harvest_collection",
    "index_manual_edits",
    "validate_by_mapper_type",
    "unpublish_collection",
)


#: Before any run of these Airflows.
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


class Seen:
    """Prints each thing with whether it is as it should be."""

    good = True

    def __call__(self, what: str, found: Any, expected: Any) -> None:
        same = found == expected
        self.good = self.good and same
        print(f"  {'ok' if same else 'NOT'}  {what}: {found}", flush=True)
        if not same:
            print(f"       expected: {expected}", flush=True)


def play(airflow: RealAirflow) -> bool:
    """Play it all. Return whether everything was as it should be."""
    call_command("migrate", verbosity=0)
    HarvestRun.objects.all().delete()
    seen = Seen()
    client = _configure(airflow, PASSWORD)
    began = timezone.now()
    _await_dags(client)

    _trigger(client, seen)
    _from_the_admin(client, seen)
    _withheld(client, seen)
    _deleted(airflow, client, seen)
    _still_queued(client, seen)
    _silent(client, seen, began)
    _wrong_password(airflow, seen)
    time.sleep(11)  # longer than a token of Airflow 3 lives here
    seen("asked again later, with a new token where there are tokens", _get(client, "one"), "success")
    return seen.good


def _configure(airflow: RealAirflow, password: str) -> Client:
    os.environ["REAL_AIRFLOW_PASSWORD"] = password
    keys = {"kind": airflow.kind, "username": USER, "password_env": "REAL_AIRFLOW_PASSWORD"}
    airflow_api.configure(parse_hosts(json.dumps({airflow.url: keys})))
    client = airflow_api.client_of(airflow.url)
    if client is None:
        raise RuntimeError("what was configured is not there")
    return client


def _trigger(client: Client, seen: Seen) -> None:
    run = _start(client, HARVEST, "one", {"collection_id": "27551"})
    seen("a run that we trigger", (run.dag_run_id, run.state), ("one", "queued"))
    seen("its conf comes back", run.conf, {"collection_id": "27551"})
    try:
        _start(client, HARVEST, "one", {})
    except AlreadyExists:
        seen("the same again", "AlreadyExists", "AlreadyExists")
    try:
        _start(client, "no_such_dag", "one", {})
    except NotFound as error:
        seen("of a DAG that is not there", type(error).__name__, "NotFound")
    seen("it ends", _until_ended(client, HARVEST, "one").state, "success")
    instances = [(task.task_id, task.state) for task in client.task_instances(HARVEST, "one")]
    seen("its tasks", instances, [("fetch", "success")])


def _from_the_admin(client: Client, seen: Seen) -> None:
    """A harvest is started from the pages of the registry, and its first event is linked to that."""
    collection = Collection.objects.create(pk=27551, name="Postcards")
    browser = django.test.Client(headers={"host": "127.0.0.1"})
    browser.force_login(User.objects.create_superuser("staff"))
    form = reverse("admin:harvest_collection_start", args=["harvest"]) + f"?ids={collection.pk}"
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get(form).content.decode())
    if token is None:
        raise RuntimeError("the page that asks has no token")
    for _ in range(2):  # a double click
        browser.post(form, {"token": token[1], "host": client.host.address})
    trigger = HarvestTrigger.objects.get()
    seen("a harvest started from the admin", (trigger.state, str(trigger.user)), ("accepted", "staff"))
    seen("runs in Airflow", _until_ended(client, HARVEST, trigger.dag_run_id).state, "success")
    seen("with its conf", client.get_run(HARVEST, trigger.dag_run_id).conf, {"collection_id": "27551"})
    seen(
        "a double click starts one run",
        sum("avram" in run.dag_run_id for run in client.list_runs(HARVEST, BEGINNING, timezone.now())),
        1,
    )
    event: dict[str, Any] = {"host": client.host.address, "dag_id": HARVEST}
    _record(factories.message(at=timezone.now(), dag_run_id=trigger.dag_run_id, **event))
    run = HarvestRun.objects.get()
    seen("its first event is linked", (run.harvest_trigger, run.collection), (trigger, collection))
    run.delete()
    trigger.delete()
    collection.delete()


def _withheld(client: Client, seen: Seen) -> None:
    """A finished run whose last events were withheld gets Airflow's state."""
    event: dict[str, Any] = {"host": client.host.address, "dag_id": HARVEST, "dag_run_id": "one"}
    before = timezone.now() - timedelta(minutes=1)
    recording.record([factories.message(at=before, **event)])
    _sweep()
    run = HarvestRun.objects.get()
    seen("events withheld, then swept", (run.status, run.status_source), ("succeeded", "airflow"))
    seen("Airflow's word is kept", (run.airflow_state, run.airflow_ended_at is None), ("success", False))
    change = run.changes.values_list("kind", "source").first()
    seen("and it is history", change, ("succeeded", "airflow"))
    _record(factories.task_error(at=before + timedelta(seconds=30), **event))
    run.refresh_from_db()
    seen("a withheld event comes after all", (run.status, run.status_source), ("succeeded", "airflow"))
    _record(factories.message(at=timezone.now() + timedelta(seconds=1), **event))
    run.refresh_from_db()
    seen("a newer event comes", (run.status, run.status_source), ("running", "events"))
    run.delete()


def _deleted(airflow: RealAirflow, client: Client, seen: Seen) -> None:
    """A deleted run is flagged lost."""
    _start(client, EDITS, "gone", {})
    _until_ended(client, EDITS, "gone")
    airflow.delete_run(EDITS, "gone")
    event: dict[str, Any] = {"host": client.host.address, "dag_id": EDITS, "dag_run_id": "gone"}
    recording.record([factories.message(at=timezone.now() - timedelta(minutes=1), **event)])
    _sweep()
    run = HarvestRun.objects.get(dag_run_id="gone")
    seen("a deleted run", (run.status, run.lost_since is not None), ("running", True))
    seen("Airflow's reason", run.lost_reason, run.lost_reason)
    run.delete()


def _still_queued(client: Client, seen: Seen) -> None:
    """A run of a paused DAG: it is looked at again, later and later."""
    _start(client, PAUSED, "waits", {})
    event: dict[str, Any] = {"host": client.host.address, "dag_id": PAUSED, "dag_run_id": "waits"}
    recording.record([factories.message(at=timezone.now() - timedelta(minutes=1), **event)])
    _sweep()
    run = HarvestRun.objects.get(dag_run_id="waits")
    seen("a run that Airflow has queued", (run.status, run.airflow_state), ("running", "queued"))
    seen("is looked at again later", run.look_again_at is not None, True)
    seen("and not before", run.pk in due_runs(timezone.now()), False)
    run.delete()


def _silent(client: Client, seen: Seen, began: datetime) -> None:
    """A run that sent nothing appears."""
    _start(client, VALIDATE, "silent", {"rikolti_mapper_type": "oai.samvera"})
    ended = _until_ended(client, VALIDATE, "silent")
    seen("a run that fails before its first event", ended.state, "failed")
    output = StringIO()
    window: dict[str, Any] = {"since": began - timedelta(minutes=1), "dag": [VALIDATE], "stdout": output}
    call_command("backfill_runs", dry_run=True, **window)
    seen("backfill --dry-run makes nothing", HarvestRun.objects.count(), 0)
    call_command("backfill_runs", **window)
    call_command("backfill_runs", **window)
    print("".join(f"       | {line}\n" for line in output.getvalue().splitlines()), end="")
    run = HarvestRun.objects.get()
    seen("it appears by backfill, once", (run.status, run.status_source), ("failed", "airflow"))
    seen("with its conf", run.dag_run_conf, {"rikolti_mapper_type": "oai.samvera"})
    changes = list(RunChange.objects.values_list("kind", "quiet"))
    seen("as history that is no news", changes, [("failed", True)])
    call_command("backfill_runs", since=began - timedelta(minutes=1), stdout=StringIO())
    # (Airflow 3 lists a run that has not started, too, Airflow 2 does not.)
    made = HarvestRun.objects.exclude(status="running")
    names = sorted(made.values_list("dag_id", "status"))
    expected = [
        (HARVEST, "succeeded"),
        (HARVEST, "succeeded"),
        (EDITS, "succeeded"),
        (VALIDATE, "failed"),
    ]
    seen("all that ended, of all DAGs", names, expected)


def _wrong_password(airflow: RealAirflow, seen: Seen) -> None:
    client = _configure(airflow, "wrong")
    event: dict[str, Any] = {"host": airflow.url, "dag_id": HARVEST, "dag_run_id": "other"}
    recording.record([factories.message(at=timezone.now() - timedelta(minutes=1), **event)])
    _sweep()
    run = HarvestRun.objects.get(dag_run_id="other")
    seen("asked with a wrong password", (run.status, run.airflow_failures), ("running", 1))
    seen("what is kept of that", run.airflow_error, run.airflow_error)
    seen("no run is lost by it", run.lost_since, None)
    try:
        client.get_run(HARVEST, "one")
    except Refused:
        seen("is", "Refused", "Refused")
    os.environ["REAL_AIRFLOW_PASSWORD"] = PASSWORD


def _start(client: Client, dag_id: str, dag_run_id: str, conf: dict[str, str]) -> AirflowRun:
    return client.trigger_run(dag_id, dag_run_id, conf, datetime.now(UTC))


def _get(client: Client, dag_run_id: str) -> str:
    return client.get_run(HARVEST, dag_run_id).state


def _record(message: SqsMessage) -> None:
    run_id = recording.record([message]).run_id
    if run_id is not None:
        recording.recompute(run_id)


def _sweep() -> None:
    for run_id in due_runs(timezone.now()):
        print(f"       | {tasks.reconcile_run(run_id)}", flush=True)


def _until_ended(client: Client, dag_id: str, dag_run_id: str) -> AirflowRun:
    return _until(lambda: client.get_run(dag_id, dag_run_id), lambda run: run.end_date is not None)


def _await_dags(client: Client) -> None:
    """Wait until Airflow has read its DAGs: a run can be triggered then."""

    def known() -> bool:
        try:
            client.trigger_run(EDITS, "first", {}, datetime.now(UTC))
        except AlreadyExists:
            return True
        except AirflowError:
            return False
        return True

    _until(known, bool)


def _until(ask: Callable[[], T], good: Callable[[T], bool]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not good(found := ask()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"it is still {found}")
        time.sleep(0.5)
    return found
