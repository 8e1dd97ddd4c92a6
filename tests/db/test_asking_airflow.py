"""The sweep against a stand-in Airflow: what is asked, what is recorded, who wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from harvest import airflow_api, recording, tasks
from harvest.airflow_api import Kind
from harvest.models import HarvestRun, RunChange
from harvest.reconcile import CLAIM, due_runs, look_at
from harvest.recording.runs import FIRST_DISTANCE, LONGEST_DISTANCE, distance
from tests.airflow_server import FAULTS, AirflowServer, say
from tests.db.test_concurrency import at_once
from tests.factories import complete, make_collection, message, task_error
from tests.logged import entries
from tests.sns_server import say_nothing

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
Status, Source = HarvestRun.Status, HarvestRun.StatusSource


@pytest.fixture(autouse=True)
def configured(airflow_server: AirflowServer) -> None:
    airflow_api.configure(airflow_server.hosts())


def fall_silent(server: AirflowServer, name: str = "silent", **keys: Any) -> HarvestRun:
    """A run whose last event came seven hours ago."""
    at = timezone.now() - 7 * HOUR
    run_id = recording.record([message(host=server.url, dag_run_id=name, at=at, **keys)]).run_id
    assert run_id is not None
    recording.recompute(run_id)
    return HarvestRun.objects.get(pk=run_id)


def sweep() -> list[str]:
    return [look_at(run_id) for run_id in due_runs(timezone.now())]


def later(run: HarvestRun) -> None:
    """Let the time pass until the next look."""
    HarvestRun.objects.filter(pk=run.pk).update(look_again_at=timezone.now())


def changes(run: HarvestRun) -> list[tuple[str, str]]:
    return list(run.changes.order_by("pk").values_list("kind", "source"))


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])
@pytest.mark.parametrize(("state", "status"), [("success", "succeeded"), ("failed", "failed")])
def test_run_that_ended(airflow_server: AirflowServer, kind: Kind, state: str, status: str) -> None:
    airflow_api.configure(airflow_server.hosts(kind))
    airflow_server.add("silent", state, note="by hand")
    run = fall_silent(airflow_server)
    before = timezone.now()

    assert sweep() == [f"{state} in Airflow"]

    run.refresh_from_db()
    assert (run.status, run.status_source, run.airflow_state) == (status, Source.AIRFLOW, state)
    assert run.status_set_at == run.airflow_checked_at
    assert run.status_set_at is not None
    assert before <= run.status_set_at <= timezone.now()
    assert run.airflow_ended_at == datetime.fromisoformat("2026-11-24T05:41:00.5+00:00")
    assert run.airflow_started_at == datetime.fromisoformat("2026-11-24T05:21:35.123456+00:00")
    assert run.airflow_note == "by hand"
    assert (run.stale_since, run.look_again_at, run.looks) == (None, None, 0)
    assert changes(run) == [("stale", "events"), (status, "airflow")]
    assert sweep() == []


@pytest.mark.parametrize("state", ["running", "queued", "restarting"])
def test_run_that_goes_on_is_looked_at_later_and_later(
    airflow_server: AirflowServer, state: str
) -> None:
    airflow_server.add("silent", state)
    run = fall_silent(airflow_server)
    waits = []

    for _ in range(10):
        assert sweep() == [f"{state} in Airflow"]
        run.refresh_from_db()
        assert run.look_again_at is not None
        waits.append(run.look_again_at - timezone.now())
        assert sweep() == []
        later(run)

    assert (run.status, run.status_source, run.airflow_state) == ("running", "events", state)
    assert run.stale_since is not None
    assert all(later > earlier - HOUR / 60 for earlier, later in pairwise(waits))
    assert FIRST_DISTANCE - HOUR / 60 < waits[0] <= FIRST_DISTANCE
    assert LONGEST_DISTANCE - HOUR < waits[-1] <= LONGEST_DISTANCE
    assert changes(run) == [("stale", "events")]


def test_distance_doubles_up_to_a_day() -> None:
    minutes = [distance(looks) / timedelta(minutes=1) for looks in (0, 1, 2, 3, 4, 8, 9, 10**9)]

    assert minutes == [10, 10, 20, 40, 80, 1280, 1440, 1440]


def test_run_that_is_heard_of_again_starts_anew(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "running")
    run = fall_silent(airflow_server)
    sweep()

    recording.recompute(
        recording.record([message(host=run.host, dag_run_id="silent", at=timezone.now())]).run_id or 0
    )

    run.refresh_from_db()
    assert (run.stale_since, run.look_again_at, run.looks) == (None, None, 0)


def test_run_that_airflow_does_not_know_is_lost(airflow_server: AirflowServer) -> None:
    run = fall_silent(airflow_server)

    sweep()

    run.refresh_from_db()
    assert (run.status, run.status_source) == ("running", "events")
    assert run.lost_since is not None
    assert run.lost_since == run.airflow_checked_at
    assert "DagRun ID: 'silent' not found" in run.lost_reason
    assert changes(run) == [("stale", "events"), ("lost", "events")]
    assert RunChange.objects.get(kind="lost").note == run.lost_reason
    later(run)
    sweep()
    assert changes(run) == [("stale", "events"), ("lost", "events")]


@pytest.mark.parametrize("news", ["event", "answer"])
def test_lost_run_that_turns_up(airflow_server: AirflowServer, news: str) -> None:
    run = fall_silent(airflow_server)
    sweep()

    if news == "event":
        stored = recording.record([message(host=run.host, dag_run_id="silent", at=timezone.now())])
        recording.recompute(stored.run_id or 0)
    else:
        airflow_server.add("silent", "running")
        later(run)
        sweep()

    run.refresh_from_db()
    assert (run.lost_since, run.lost_reason, run.status) == (None, "", "running")


def test_lost_run_stays_lost_for_an_event_from_before(airflow_server: AirflowServer) -> None:
    run = fall_silent(airflow_server)
    sweep()

    at = timezone.now() - 6 * HOUR
    recording.recompute(
        recording.record([message(host=run.host, dag_run_id="silent", at=at)]).run_id or 0
    )

    run.refresh_from_db()
    assert run.lost_since is not None


@pytest.mark.parametrize("event_first", [True, False])
def test_run_that_ended_is_not_lost_whichever_comes_first(
    airflow_server: AirflowServer, event_first: bool
) -> None:
    run = fall_silent(airflow_server)
    asked_at = timezone.now()

    def hear() -> None:
        at = asked_at - HOUR
        stored = recording.record([complete(host=run.host, dag_run_id="silent", at=at)])
        recording.recompute(stored.run_id or 0)

    def ask() -> None:
        recording.record_not_found(run.pk, "not found", asked_at)

    for happen in (hear, ask) if event_first else (ask, hear):
        happen()

    run.refresh_from_db()
    assert (run.status, run.lost_since, run.lost_reason) == ("succeeded", None, "")


def test_lost_run_that_a_person_ends_is_not_lost(airflow_server: AirflowServer) -> None:
    run = fall_silent(airflow_server)
    sweep()

    recording.set_status(run.pk, Status.FAILED, "deleted by hand")

    run.refresh_from_db()
    assert (run.status, run.lost_since, run.lost_reason) == ("failed", None, "")


@pytest.mark.parametrize("host", ["", "https://elsewhere.example.org"])
def test_host_that_is_not_configured_is_not_asked(airflow_server: AirflowServer, host: str) -> None:
    at = timezone.now() - 7 * HOUR
    recording.record([message(host=host, at=at)])

    assert sweep()[0].startswith("stale since")

    run = HarvestRun.objects.get()
    assert airflow_server.requests == []
    assert (run.airflow_checked_at, run.airflow_failures) == (None, 0)
    assert run.look_again_at is not None
    assert run.look_again_at > timezone.now() + HOUR / 2
    assert sweep() == []


# --- Faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])
def test_fault_changes_no_status_and_stops_no_other(
    airflow_server: AirflowServer, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    airflow_api.configure(airflow_server.hosts(kind))
    runs = {}
    for name, (answer, _) in FAULTS.items():
        runs[name] = fall_silent(airflow_server, name)
        airflow_server.faults[name] = answer
        airflow_server.add(f"good after {name}")
        fall_silent(airflow_server, f"good after {name}")

    sweep()

    for name, (_, says) in FAULTS.items():
        run = runs[name]
        run.refresh_from_db()
        assert (run.status, run.status_source, run.airflow_failures) == ("running", "events", 1)
        assert says in run.airflow_error
        assert (run.airflow_state, run.airflow_checked_at, run.lost_since) == ("", None, None)
        assert run.look_again_at is not None
        assert run.look_again_at > timezone.now() + HOUR / 10
        (entry,) = [one for one in entries(caplog, "airflow_not_asked") if one["run_id"] == run.pk]
        assert entry["error"] == run.airflow_error
    ended = HarvestRun.objects.filter(status="succeeded", status_source="airflow")
    assert ended.count() == len(FAULTS)


def test_hang_changes_no_status(airflow_server: AirflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvest.airflow_api.http.READ_SECONDS", 0.2)
    airflow_server.faults["silent"] = say_nothing
    run = fall_silent(airflow_server)

    assert sweep() == ["Airflow could not be asked: no answer in time"]

    run.refresh_from_db()
    assert (run.status, run.airflow_failures, run.airflow_error) == ("running", 1, "no answer in time")


def test_time_limit_of_the_task_is_a_late_answer(
    airflow_server: AirflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(*args: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("harvest.airflow_api.Client.get_run", drip)
    fall_silent(airflow_server)

    assert sweep() == ["Airflow could not be asked: no answer in time"]


def test_failures_are_counted_until_an_answer(airflow_server: AirflowServer) -> None:
    airflow_server.faults["silent"] = say(500)
    run = fall_silent(airflow_server)
    for failures in (1, 2, 3):
        sweep()
        later(run)
        run.refresh_from_db()
        assert run.airflow_failures == failures

    del airflow_server.faults["silent"]
    airflow_server.add("silent", "running")
    sweep()

    run.refresh_from_db()
    assert (run.airflow_failures, run.airflow_error, run.airflow_state) == (0, "", "running")


def test_retry_after_is_kept_to(airflow_server: AirflowServer) -> None:
    airflow_server.faults["silent"] = say(429, **{"Retry-After": "7200"})
    run = fall_silent(airflow_server)

    sweep()

    run.refresh_from_db()
    assert run.look_again_at is not None
    assert timedelta(minutes=119) < run.look_again_at - timezone.now() <= timedelta(hours=2)


# --- Who wins -------------------------------------------------------------------------------------


def while_asked(server: AirflowServer, name: str, then: Callable[[], Any]) -> None:
    """Let something happen after the question and before the answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            then()
        finally:
            connection.close()
        del server.faults[name]
        server._answer(handler)

    server.faults[name] = answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("recomputed", [True, False])
def test_newer_event_wins_over_the_older_answer(airflow_server: AirflowServer, recomputed: bool) -> None:
    airflow_server.add("silent", "failed")
    run = fall_silent(airflow_server)

    def happen() -> None:
        at = timezone.now() + timedelta(seconds=1)
        stored = recording.record([complete(host=run.host, dag_run_id="silent", at=at)])
        if recomputed:
            recording.recompute(stored.run_id or 0)

    while_asked(airflow_server, "silent", happen)

    sweep()

    run.refresh_from_db()
    assert (run.status, run.status_source) == ("succeeded", "events")
    assert run.airflow_state == "failed"
    assert changes(run) == [("stale", "events"), ("succeeded", "events")]


@pytest.mark.django_db(transaction=True)
def test_newer_event_wins_over_not_found(airflow_server: AirflowServer) -> None:
    run = fall_silent(airflow_server)

    def happen() -> None:
        at = timezone.now() + timedelta(seconds=1)
        recording.record([message(host=run.host, dag_run_id="silent", at=at)])

    while_asked(airflow_server, "silent", happen)

    sweep()

    run.refresh_from_db()
    assert run.airflow_checked_at is not None  # it was asked, and said that it knows no such run
    assert (run.status, run.lost_since) == ("running", None)
    assert changes(run) == [("stale", "events")]


@pytest.mark.django_db(transaction=True)
def test_person_wins_over_the_answer_until_a_newer_event(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "success")
    run = fall_silent(airflow_server)
    staff = User.objects.create_superuser("staff")
    while_asked(
        airflow_server,
        "silent",
        lambda: recording.set_status(run.pk, Status.FAILED, "I saw it", staff),
    )

    sweep()

    run.refresh_from_db()
    assert (run.status, run.status_source, run.status_note) == ("failed", "person", "I saw it")
    assert (run.airflow_state, run.status_set_by) == ("success", staff)
    at = timezone.now() + timedelta(seconds=1)
    stored = recording.record([message(host=run.host, dag_run_id="silent", at=at)])
    recording.recompute(stored.run_id or 0)
    run.refresh_from_db()
    assert (run.status, run.status_source) == ("running", "events")


def test_event_from_before_the_question_does_not_win(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "success")
    run = fall_silent(airflow_server)
    sweep()

    at = timezone.now() - 6 * HOUR
    stored = recording.record([task_error(host=run.host, dag_run_id="silent", at=at)])
    recording.recompute(stored.run_id or 0)

    run.refresh_from_db()
    assert (run.status, run.status_source) == ("succeeded", "airflow")


def test_older_answer_does_not_win_over_a_newer_one(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent", "success")
    run = fall_silent(airflow_server)
    client = airflow_api.client_of(airflow_server.url)
    assert client is not None
    asked_at = timezone.now()
    newer = client.get_run("harvest_collection", "silent")
    airflow_server.add("silent", "failed")
    older = client.get_run("harvest_collection", "silent")

    recording.record_answer(run.pk, newer, asked_at)
    recording.record_answer(run.pk, older, asked_at - HOUR)
    recording.record_not_found(run.pk, "not found", asked_at - HOUR)
    recording.record_no_answer(run.pk, "away", asked_at - HOUR)

    run.refresh_from_db()
    assert (run.status, run.airflow_state, run.status_set_at) == ("succeeded", "success", asked_at)
    assert (run.lost_since, run.airflow_failures) == (None, 0)


@pytest.mark.parametrize("record", ["record_answer", "record_not_found", "record_no_answer"])
def test_run_that_is_gone(airflow_server: AirflowServer, record: str) -> None:
    airflow_server.add("silent")
    client = airflow_api.client_of(airflow_server.url)
    assert client is not None
    answer: Any = client.get_run("harvest_collection", "silent")

    assert getattr(recording, record)(0, answer, timezone.now()) is None


# --- At once, and killed --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_ask_once_a_run(airflow_server: AirflowServer) -> None:
    names = [f"run {number}" for number in range(5)]
    for name in names:
        airflow_server.add(name, "running")
        fall_silent(airflow_server, name)
    run_ids = due_runs(timezone.now())

    def look(run_ids: Sequence[int]) -> list[str]:
        return [look_at(run_id) for run_id in run_ids]

    at_once(*[lambda: look(run_ids)] * 4)

    assert [airflow_server.asked(name) for name in names] == [1] * 5
    assert set(HarvestRun.objects.values_list("looks", "airflow_state")) == {(1, "running")}


def test_sweep_that_is_killed_goes_on_in_the_next(
    airflow_server: AirflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow_server.add("silent")
    run = fall_silent(airflow_server)

    def die(*args: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("harvest.airflow_api.Client.get_run", die)
        with pytest.raises(SystemExit):
            sweep()

    assert sweep() == []
    run.refresh_from_db()
    assert run.look_again_at is not None
    assert run.look_again_at <= timezone.now() + CLAIM
    later(run)
    assert sweep() == ["success in Airflow"]


def test_claim_of_a_clock_that_was_ahead_holds_nobody_up(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent")
    run = fall_silent(airflow_server)
    ahead = timezone.now() + timedelta(days=50)
    HarvestRun.objects.update(stale_since=ahead, reconciled_at=ahead, look_again_at=ahead)

    assert sweep() == ["success in Airflow"]
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_tasks_say_what_came_of_it(airflow_server: AirflowServer) -> None:
    airflow_server.add("silent")
    run = fall_silent(airflow_server)
    make_collection(27551)

    assert tasks.reconcile_run(run.pk) == f"run {run.pk}: success in Airflow"
    run.refresh_from_db()
    assert run.collection_id == 27551
