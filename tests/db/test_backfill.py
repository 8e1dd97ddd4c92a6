"""Runs that sent nothing, made from a stand-in Airflow's lists."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from harvest import airflow_api, backfill, recording, tasks
from harvest.airflow import DAG_IDS
from harvest.airflow_api import AirflowRun, Kind, Unavailable
from harvest.models import HarvestEvent, HarvestRun, RunChange
from harvest.recording.listed import record_listed
from tests.airflow_server import FAULTS, AirflowServer, say
from tests.db.test_concurrency import at_once
from tests.factories import complete, make_collection, make_trigger, message
from tests.logged import entries

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 24, 5, 21, 35, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
DAG = "harvest_collection"


@pytest.fixture(autouse=True)
def configured(airflow_server: AirflowServer) -> None:
    airflow_api.configure(airflow_server.hosts())


@pytest.fixture
def second_server() -> Iterator[AirflowServer]:
    """Another host, asked besides the first."""
    with closing(AirflowServer()) as server:
        yield server


def fill(server: AirflowServer, dag_id: str = DAG, **options: Any) -> tuple[int, int]:
    """Backfill the day of the runs. Return how many were listed, and how many made."""
    client = airflow_api.client_of(server.url)
    assert client is not None
    window = backfill.Window(server.url, dag_id, START - DAY, START + DAY)
    chunks = list(backfill.fill(client, window, **options))
    return sum(chunk.runs for chunk in chunks), sum(chunk.made for chunk in chunks)


def command(**options: Any) -> str:
    output = StringIO()
    window = {"since": START - DAY / 8, "until": START + DAY / 8}
    call_command("backfill_runs", stdout=output, stderr=output, **{**window, **options})
    return output.getvalue()


# --- What is made ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])
@pytest.mark.parametrize(
    ("state", "status"),
    [("failed", "failed"), ("success", "succeeded"), ("running", "running"), ("odd", "running")],
)
def test_run_that_sent_nothing(
    airflow_server: AirflowServer, kind: Kind, state: str, status: str
) -> None:
    airflow_api.configure(airflow_server.hosts(kind))
    airflow_server.add("silent", state, note="out of memory")
    collection = make_collection(27551)
    trigger = make_trigger(collection, dag_run_id="silent")

    assert fill(airflow_server) == (1, 1)

    run = HarvestRun.objects.get()
    assert run.key == (airflow_server.url, DAG, "silent")
    assert (run.status, run.status_source, run.airflow_state) == (status, "airflow", state)
    assert (run.first_event_at, run.last_heard_at) == (None, START)
    assert run.logical_date == START.replace(second=34, microsecond=0)
    assert (run.dag_run_conf, run.airflow_note) == ({"collection_id": "27551"}, "out of memory")
    assert (run.collection, run.harvest_trigger) == (collection, trigger)
    kinds = list(RunChange.objects.values_list("kind", "source", "quiet"))
    assert kinds == ([] if status == "running" else [(status, "airflow", True)])


def test_run_without_dates(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", logical_date=None)

    fill(airflow_server)

    run = HarvestRun.objects.get()
    assert run.logical_date == run.last_heard_at == START


@pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])
def test_run_that_failed_in_the_queue(airflow_server: AirflowServer, kind: Kind) -> None:
    airflow_api.configure(airflow_server.hosts(kind))
    airflow_server.add("silent", "failed", start_date=None)

    assert fill(airflow_server) == (1, 1)
    assert fill(airflow_server) == (1, 0)

    run = HarvestRun.objects.get()
    assert (run.status, run.status_source, run.airflow_started_at) == ("failed", "airflow", None)
    assert run.last_heard_at == run.logical_date == START.replace(second=34, microsecond=0)


def test_runs_that_were_listed_before_a_page_fails_are_made(airflow_server: AirflowServer) -> None:
    for number in range(3):
        airflow_server.add(f"run {number}", "failed")
    airflow_server.page = 2
    airflow_server.faults_of_page[2] = say(500)

    with pytest.raises(Unavailable, match="status 500"):
        fill(airflow_server)

    assert HarvestRun.objects.count() == 2


def test_run_that_is_a_fault_of_ours_keeps_no_other_from_being_made(
    airflow_server: AirflowServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        airflow_server.add(f"run {number}", "failed")

    def record(host: str, listed: AirflowRun, asked_at: datetime) -> HarvestRun:
        if listed.dag_run_id == "run 1":
            raise ZeroDivisionError("a planted fault")
        return record_listed(host, listed, asked_at)

    monkeypatch.setattr(recording, "record_listed", record)
    start, end = (START - DAY).isoformat(), (START + DAY).isoformat()
    said = tasks.backfill_window(airflow_server.url, DAG, start, end)

    assert said.endswith("3 runs, 2 new, 1 not recorded by a fault of ours")
    assert set(HarvestRun.objects.values_list("dag_run_id", flat=True)) == {"run 0", "run 2"}
    [entry] = entries(caplog, "listed_run_not_recorded")
    assert entry["dag_run_id"] == "run 1"
    with pytest.raises(CommandError, match="1 of 1 windows could not be filled in"):
        command(dag=[DAG])


def test_run_whose_conf_names_an_odd_collection_is_made(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "failed", conf={"collection_id": "\x1c5"})

    assert fill(airflow_server) == (1, 1)

    assert HarvestRun.objects.get().conf_collection_id == 5


def test_again_makes_nothing(airflow_server: AirflowServer) -> None:
    for number in range(5):
        airflow_server.add(f"run {number}", "failed")
    assert fill(airflow_server) == (5, 5)
    before = list(HarvestRun.objects.order_by("pk").values())

    assert fill(airflow_server) == (5, 0)

    assert list(HarvestRun.objects.order_by("pk").values()) == before


def test_again_asks_the_database_once_a_page(airflow_server: AirflowServer) -> None:
    for number in range(50):
        airflow_server.add(f"run {number}", "failed")
    fill(airflow_server)

    with CaptureQueriesContext(connection) as captured:
        fill(airflow_server)

    assert len(captured) == 1


def test_dry_run_changes_nothing(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "failed")

    assert fill(airflow_server, dry_run=True) == (1, 1)

    assert not HarvestRun.objects.exists()


def test_run_that_goes_on_fails_later(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "running")
    fill(airflow_server)
    airflow_server.add("silent", "failed")

    fill(airflow_server)

    run = HarvestRun.objects.get()
    assert (run.status, run.status_source) == ("failed", "airflow")
    assert list(run.changes.values_list("kind", "quiet")) == [("failed", False)]


def test_run_that_was_cleared_runs_again(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "failed")
    fill(airflow_server)
    airflow_server.add("silent", "running")

    fill(airflow_server)

    assert HarvestRun.objects.get().status == "running"


def test_dag_that_is_not_there_has_no_runs(airflow_server: AirflowServer) -> None:
    airflow_server.faults["dagRuns"] = say(404, f"The DAG with dag_id: `{DAG}` was not found")

    assert fill(airflow_server) == (0, 0)


# --- Events before and after ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status", "source"),
    [
        ("failed", "failed", "airflow"),
        ("success", "succeeded", "events"),
        ("running", "succeeded", "events"),
    ],
)
def test_run_with_events_is_only_answered(
    airflow_server: AirflowServer, state: str, status: str, source: str
) -> None:
    run_id = recording.record([complete(host=airflow_server.url, dag_run_id="heard", at=START)]).run_id
    recording.recompute(run_id or 0)
    airflow_server.add("heard", state, conf={})

    assert fill(airflow_server) == (1, 0)

    run = HarvestRun.objects.get()
    assert (run.status, run.status_source) == (status, source)
    assert (run.first_event_at, run.last_heard_at) == (START.replace(microsecond=123000),) * 2
    assert run.dag_run_conf == {"collection_id": "27551"}


@pytest.mark.parametrize("host", [True, False], ids=["with host", "without host"])
@pytest.mark.parametrize("seconds", [-600, 600], ids=["before the answer", "after it"])
def test_event_that_comes_later_is_of_that_run(
    airflow_server: AirflowServer, host: bool, seconds: int
) -> None:
    airflow_server.add("silent", "failed")
    fill(airflow_server)
    at = timezone.now() + timedelta(seconds=seconds)

    named = airflow_server.url if host else ""
    result = recording.record([message(dag_run_id="silent", at=at, host=named)])
    recording.recompute(result.run_id or 0)

    run = HarvestRun.objects.get()
    assert run.events.count() == 1
    assert run.first_event_at is not None
    newer = seconds > 0
    assert (run.status, run.status_source) == (("running", "events") if newer else ("failed", "airflow"))


def test_copy_of_another_runs_event_takes_nothing_away(airflow_server: AirflowServer) -> None:
    recording.record([message(message_id="1", host=airflow_server.url, dag_run_id="other")])
    airflow_server.add("silent", "failed")
    fill(airflow_server)

    recording.record([message(message_id="1", host=airflow_server.url, dag_run_id="silent")])

    assert HarvestRun.objects.get(dag_run_id="silent").status == "failed"


def test_run_without_host_is_joined(airflow_server: AirflowServer) -> None:
    run_id = recording.record([message(host="", dag_run_id="heard")]).run_id
    recording.recompute(run_id or 0)
    airflow_server.add("heard", "failed")

    assert fill(airflow_server) == (1, 0)

    run = HarvestRun.objects.get()
    assert (run.pk, run.host, run.status) == (run_id, airflow_server.url, "failed")
    assert run.changes.get().quiet is False


def test_second_host_parts_events_without_host(
    airflow_server: AirflowServer, second_server: AirflowServer
) -> None:
    airflow_api.configure(airflow_server.hosts() | second_server.hosts())
    run_id = recording.record([complete(host="", dag_run_id="heard", at=START)]).run_id
    recording.recompute(run_id or 0)
    airflow_server.add("heard", "success")
    second_server.add("heard", "failed")

    fill(airflow_server)
    fill(second_server)

    told = HarvestRun.objects.order_by("status", "host").values_list(
        "host", "status", "status_source", "first_event_at"
    )
    assert sorted(told, key=str) == sorted(
        [
            (airflow_server.url, "succeeded", "airflow", None),
            (second_server.url, "failed", "airflow", None),
            ("", "succeeded", "events", START.replace(microsecond=123000)),
        ],
        key=str,
    )


def test_second_host_takes_from_a_run_all_that_the_parted_events_told(
    airflow_server: AirflowServer, second_server: AirflowServer
) -> None:
    airflow_api.configure(airflow_server.hosts() | second_server.hosts())
    theirs, ours = make_collection(1), make_collection(2)
    keys = {"dag_id": "publish_collection", "dag_run_id": "heard"}
    conf = {"collection_id": "1", "version": "1/a"}
    run_id = recording.record([complete(host="", at=START, dag_run_conf=conf, **keys)]).run_id
    recording.recompute(run_id or 0)
    airflow_server.add(state="running", conf={"collection_id": "2", "version": "2/a"}, **keys)
    second_server.add(state="failed", conf={"collection_id": "1", "version": "1/b"}, **keys)
    fill(airflow_server, "publish_collection")

    fill(second_server, "publish_collection")

    run = HarvestRun.objects.get(host=airflow_server.url)
    assert list(run.changes.order_by("pk").values_list("kind", "before", "source")) == [
        ("succeeded", "running", "events"),
        ("running", "succeeded", "airflow"),
    ]
    assert (run.dag_run_conf, run.collection, run.target_version) == ({}, None, None)
    nameless = HarvestRun.objects.get(host="")
    assert (nameless.collection, nameless.target_version) == (theirs, "1/a")

    fill(airflow_server, "publish_collection")

    run.refresh_from_db()
    assert run.dag_run_conf == {"collection_id": "2", "version": "2/a"}
    assert (run.collection, run.target_version) == (ours, "2/a")
    for collection, version in ((theirs, "1/a"), (ours, "2/a")):
        collection.refresh_from_db()
        assert collection.production_target_version == version


@pytest.mark.parametrize(
    "later",
    [
        {"conf": {"collection_id": "2"}},
        {"logical_date": "2026-11-24T04:00:00+00:00"},
        {"start_date": "2026-11-24T05:00:00+00:00"},
        {"end_date": "2026-11-24T06:00:00+00:00"},
    ],
    ids=lambda later: next(iter(later)),
)
def test_run_that_sent_nothing_follows_the_list(
    airflow_server: AirflowServer, later: dict[str, Any]
) -> None:
    airflow_server.add("silent")
    fill(airflow_server)
    airflow_server.add("silent", **later)

    fill(airflow_server)

    run = HarvestRun.objects.get()
    told = {
        "conf": run.dag_run_conf,
        "logical_date": run.logical_date.isoformat(),
        "start_date": run.airflow_started_at and run.airflow_started_at.isoformat(),
        "end_date": run.airflow_ended_at and run.airflow_ended_at.isoformat(),
    }
    assert told.items() >= later.items()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(2))
def test_backfills_and_events_at_once(airflow_server: AirflowServer, attempt: int) -> None:
    names = [f"run {number}" for number in range(5)]
    for name in names:
        airflow_server.add(name, "failed")

    def record() -> None:
        for name in names:
            recording.record([message(message_id=name, host=airflow_server.url, dag_run_id=name)])

    at_once(*[lambda: fill(airflow_server)] * 3, record)

    assert sorted(HarvestRun.objects.values_list("dag_run_id", "status")) == [
        (name, "failed") for name in names
    ]
    assert HarvestEvent.objects.count() == 5


# --- Tasks and the command ------------------------------------------------------------------------


def test_windows_are_slices_of_each_host_and_dag(
    airflow_server: AirflowServer, second_server: AirflowServer
) -> None:
    airflow_api.configure(airflow_server.hosts() | second_server.hosts())

    windows = list(backfill.windows(START, START + 2.25 * DAY))

    assert len(windows) == 5 * 2 * len(DAG_IDS)
    assert windows[0][2:] == (START, START + backfill.SLICE)
    assert windows[-1] == (second_server.url, DAG_IDS[-1], START + 2 * DAY, START + 2.25 * DAY)


def test_task_lists_the_last_two_days(
    airflow_server: AirflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (0, 1, 3):
        start = timezone.now() - days * DAY - timedelta(hours=1)
        end = start + timedelta(minutes=1)
        dates = {"start_date": start.isoformat(), "end_date": end.isoformat()}
        airflow_server.add(f"{days} days ago", "failed", **dates)
    said = []
    monkeypatch.setattr(
        tasks.backfill_window, "delay", lambda *args: said.append(tasks.backfill_window(*args))
    )

    assert tasks.backfill_runs() == "20 windows to list"

    assert sorted(HarvestRun.objects.values_list("dag_run_id", flat=True)) == [
        "0 days ago",
        "1 days ago",
    ]
    assert said.count(f"{DAG} on {airflow_server.url}: 1 run, 1 new") == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_task_that_can_t_list_says_so(
    airflow_server: AirflowServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    airflow_server.add("silent", "failed")
    airflow_server.faults["dagRuns"] = FAULTS[fault][0]
    caplog.set_level(logging.WARNING)

    said = tasks.backfill_window(airflow_server.url, DAG, START.isoformat(), START.isoformat())

    assert said.startswith(f"{DAG} on {airflow_server.url} could not be listed: ")
    assert entries(caplog, "runs_not_listed")
    assert not HarvestRun.objects.exists()


def test_task_of_a_host_that_is_not_configured_any_more() -> None:
    said = tasks.backfill_window("https://gone", DAG, START.isoformat(), START.isoformat())

    assert said == "https://gone is not configured"


def test_command_says_what_it_does(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "failed")
    place = f"[1/5] {airflow_server.url} {DAG}, 2026-11-24 02:21 to 2026-11-24 08:21"

    assert "1 runs listed, 1 would be made" in command(dry_run=True)
    assert not HarvestRun.objects.exists()
    said = command()
    assert f"{place}: 1 runs, 1 new" in said
    assert said.endswith("1 runs listed, 1 made\n")
    assert command(dag=[DAG], host=[f"{airflow_server.url}/"]).endswith("1 runs listed, 0 made\n")


def test_command_goes_on_after_a_host_that_is_away(
    airflow_server: AirflowServer, second_server: AirflowServer
) -> None:
    airflow_api.configure(airflow_server.hosts() | second_server.hosts())
    airflow_server.faults["*"] = say(500)
    second_server.add("silent", "failed")

    with pytest.raises(
        CommandError, match="1 runs listed, 1 made; 5 of 10 windows could not be filled in"
    ):
        command()

    assert HarvestRun.objects.get().host == second_server.url


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": START + DAY}, "--since must lie before --until"),
        ({"host": ["https://other"]}, "not in AIRFLOW_HOSTS: https://other"),
    ],
)
def test_command_that_makes_no_sense(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        command(**options)


def test_command_without_hosts() -> None:
    airflow_api.configure({})

    with pytest.raises(CommandError, match="names no Airflow"):
        command()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", ""])
def test_command_with_a_date_that_is_none(text: str) -> None:
    with pytest.raises(CommandError, match="is no date such as"):
        call_command("backfill_runs", "--since", text)


@pytest.mark.parametrize("since", ["2026-11-24", "2026-11-24T01:00", "2026-11-24T03:00+02:00"])
def test_command_with_a_date(airflow_server: AirflowServer, since: str) -> None:
    airflow_server.add("silent", "failed")

    call_command("backfill_runs", "--since", since, stdout=StringIO())

    assert HarvestRun.objects.count() == 1
