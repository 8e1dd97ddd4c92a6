"""That /metrics adds up to what the tables hold, whatever arrives, and asks little of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from django.core.mail import EmailMessage
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from celery_app import app
from harvest import airflow_api, backfill, delivery, gauges, metrics, reconcile, recording, tasks
from harvest.airflow_api import AirflowError, Unavailable
from harvest.airflow_api.answers import Answer
from harvest.gauges import TableCollector, read_tables
from harvest.metrics import REGISTRY
from harvest.models import (
    HarvestEvent,
    HarvestRun,
    Heartbeat,
    QueueReading,
    RejectedMessage,
    RunChange,
)
from harvest.sns import SqsMessage
from harvest.triggering import Order, trigger
from tests import factories
from tests.factories import HOST, START, complete, failed, make_run, message, sqs_message
from tests.fake_airflow import FakeAirflow

pytestmark = pytest.mark.django_db

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Growth:
    """How much the counters have grown since it was made, by the value of their only label, if any."""

    def __init__(self, *names: str) -> None:
        self._names = names or (
            "avram_events_recorded", "avram_events_duplicate", "avram_event_lag_seconds",
            "avram_messages_rejected", "avram_run_changes",
        )  # fmt: skip
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for metric in REGISTRY.collect()
            if metric.name in self._names
            for sample in metric.samples
            if "le" not in sample.labels
        }

    def __call__(self) -> dict[str, float]:
        grown = {name: value - self._before.get(name, 0) for name, value in self._now().items()}
        return {name: value for name, value in grown.items() if value}


@contextmanager
def committing() -> Iterator[None]:
    """Do what a commit would do, at the end of the block: the test itself never commits."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        yield


# --- What is counted ------------------------------------------------------------------------------


def test_counts_add_up_to_the_tables() -> None:
    growth = Growth()
    first, last = message(message_id="1"), complete(message_id="2", seconds=60)

    with committing():
        for batch in ([last], [first, first], [last, first], [sqs_message("no JSON")] * 2):
            tasks.record_event([one.to_task() for one in batch])
        tasks.recompute_run_status(HarvestRun.objects.get().pk)

    grown = growth()
    lag = grown.pop("avram_event_lag_seconds_sum")
    assert grown == {
        "avram_events_recorded_total": HarvestEvent.objects.count(),
        "avram_events_duplicate_total": 3,
        "avram_event_lag_seconds_count": 2,
        "avram_messages_rejected_total not_json": RejectedMessage.objects.get().times_seen,
        "avram_run_changes_total succeeded": RunChange.objects.filter(kind="succeeded").count(),
    }
    at = [event.recorded_at - event.sns_timestamp for event in HarvestEvent.objects.all()]
    assert lag == pytest.approx(sum(one.total_seconds() for one in at))


def test_clock_that_was_ahead_makes_no_lag_below_nothing() -> None:
    growth = Growth()

    with committing():
        recording.record([message(at=timezone.now() + timedelta(hours=1))])

    assert growth() == {"avram_events_recorded_total": 1, "avram_event_lag_seconds_count": 1}


def test_what_is_rolled_back_was_not_counted() -> None:
    growth = Growth()

    with committing(), transaction.atomic():
        recording.record([complete(), sqs_message("no JSON")])
        recording.recompute(HarvestRun.objects.get().pk)
        transaction.set_rollback(True)

    assert growth() == {}


def test_retry_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    growth, attempts = Growth(), Growth("avram_tasks")
    store, faults = HarvestEvent.objects.bulk_create, [OperationalError("away")] * 2

    def store_in_the_end(*args: object, **keys: object) -> object:
        if faults:
            raise faults.pop()
        return store(*args, **keys)  # type: ignore[arg-type]

    monkeypatch.setattr(HarvestEvent.objects, "bulk_create", store_in_the_end)
    with committing():
        tasks.record_event.apply(([message().to_task()],))

    grown = growth()
    assert grown.pop("avram_event_lag_seconds_sum") > 0
    assert grown == {"avram_events_recorded_total": 1, "avram_event_lag_seconds_count": 1}
    assert attempts() == {
        "avram_tasks_total harvest.record_event retried": 2,
        "avram_tasks_total harvest.record_event succeeded": 1,
    }


def test_task_that_fails_is_counted() -> None:
    attempts = Growth("avram_tasks")

    app.tasks["harvest.backfill_window"].apply(("host", "dag", "no date", "no date"))
    app.tasks["harvest.recompute_run_status"].apply(("no id",))

    assert attempts() == {
        "avram_tasks_total harvest.backfill_window succeeded": 1,
        "avram_tasks_total harvest.recompute_run_status failed": 1,
    }


def _raise(error: Exception) -> Callable[..., NoReturn]:
    def fail(*args: object, **keys: object) -> NoReturn:
        raise error

    return fail


#: What may arrive together: events of one of two runs that go on, end well or badly, or what nobody
#: understands.
TOGETHER: list[list[SqsMessage]] = [
    [
        make(message_id=f"{run}-{second}", seconds=second, dag_run_id=run)
        for second, make in enumerate((message, failed, message, complete))
    ]
    for run in ("manual__a", "manual__b")
] + [[sqs_message("no JSON"), sqs_message('{"no": "event"}')]]

batches = st.one_of([st.lists(st.sampled_from(some), min_size=1, max_size=4) for some in TOGETHER])


class AnyOrder(TestCase):
    """Whatever arrives, as often, in whatever order and batches."""

    @hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
    @given(st.lists(batches, max_size=8))
    def test_counts_add_up_to_the_tables(self, arrived: list[list[SqsMessage]]) -> None:
        growth = Growth()

        with committing():
            for batch in arrived:
                tasks.recompute_run_status(recording.record(batch).run_id)

        def sum_of(start: str) -> float:
            return sum(value for name, value in grown.items() if name.startswith(start))

        grown = growth()
        seen = RejectedMessage.objects.aggregate(seen=Sum("times_seen"))["seen"] or 0
        assert sum_of("avram_events_recorded_total") == HarvestEvent.objects.count()
        assert sum_of("avram_messages_rejected_total") == seen
        assert sum_of("avram_run_changes_total") == RunChange.objects.count()
        both = sum_of("avram_events_recorded_total") + sum_of("avram_events_duplicate_total")
        assert both + seen == sum(map(len, arrived))


def test_looks_of_a_sweep_are_counted_by_what_came_of_them() -> None:
    growth = Growth("avram_sweeps", "avram_sweep_looks")

    for run_id in (make_run().pk, make_run(last_heard_at=timezone.now()).pk, 0):
        reconcile.look_at(run_id)
    tasks.reconcile_runs()

    assert growth() == {
        "avram_sweeps_total": 1,
        "avram_sweep_looks_total stale": 1,
        "avram_sweep_looks_total settled": 1,
        "avram_sweep_looks_total gone": 1,
    }


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    fake = FakeAirflow()
    monkeypatch.setitem(airflow_api._clients, HOST, fake.client)
    return fake


def test_what_comes_of_asking_airflow_is_counted(airflow: FakeAirflow) -> None:
    requests, looks = Growth("avram_airflow_requests"), Growth("avram_sweep_looks")
    known = make_run()
    airflow.runs[known.dag_id, known.dag_run_id] = {
        "dag_id": known.dag_id, "dag_run_id": known.dag_run_id, "state": "success",
    }  # fmt: skip
    reconcile.look_at(known.pk)
    reconcile.look_at(make_run().pk)
    airflow.answers = [Answer(403, {}), Unavailable("away")]
    for _ in range(2):
        reconcile.look_at(make_run().pk)
    airflow.answers = [RuntimeError("a fault of ours")]
    with pytest.raises(RuntimeError):
        airflow.client.get_run("d", "r")
    with pytest.raises(AirflowError):
        airflow.client.get_run("..", "is never asked for")

    assert requests() == {
        "avram_airflow_requests_total ok": 1,
        "avram_airflow_requests_total not_found": 1,
        "avram_airflow_requests_total refused": 1,
        "avram_airflow_requests_total unavailable": 2,
    }
    assert looks() == {
        "avram_sweep_looks_total answered": 1,
        "avram_sweep_looks_total not_found": 1,
        "avram_sweep_looks_total no_answer": 2,
    }


def test_runs_that_people_start_are_counted_once(airflow: FakeAirflow) -> None:
    growth = Growth("avram_triggers")
    factories.make_collection(1), factories.make_collection(2)
    airflow.answers = [Answer(403, {})]

    for _twice in range(2):
        trigger("harvest", [Order(1), Order(2)], HOST, "0123456789abcdef", None)

    assert growth() == {"avram_triggers_total refused": 1, "avram_triggers_total accepted": 1}


def test_runs_that_a_backfill_lists_are_counted(airflow: FakeAirflow) -> None:
    growth = Growth("avram_backfilled_runs")
    known = make_run()
    page = {
        "dag_runs": [
            {"dag_id": known.dag_id, "dag_run_id": run_id, "state": "running",
             "logical_date": START.isoformat(), "start_date": START.isoformat()}
            for run_id in (known.dag_run_id, "new")
        ],
        "total_entries": 2,
    }  # fmt: skip
    window = backfill.Window(HOST, known.dag_id, START, START)

    for dry_run in (True, False):
        airflow.answers = [Answer(200, page), Answer(200, {"dag_runs": [], "total_entries": 0})]
        list(backfill.fill(airflow.client, window, dry_run=dry_run))

    assert growth() == {"avram_backfilled_runs_total made": 1, "avram_backfilled_runs_total known": 1}


def test_runs_that_end_without_a_word_are_counted_once_whenever_they_were_made(
    airflow: FakeAirflow,
) -> None:
    growth = Growth("avram_silent_runs")
    window = backfill.Window(HOST, "harvest_collection", START, START)

    def listed(**states: str) -> None:
        runs = [
            {"dag_id": window.dag_id, "dag_run_id": run_id, "state": state,
             "logical_date": START.isoformat(), "start_date": START.isoformat()}
            for run_id, state in states.items()
        ]  # fmt: skip
        empty = Answer(200, {"dag_runs": [], "total_entries": 0})
        airflow.answers = [Answer(200, {"dag_runs": runs, "total_entries": len(runs)}), empty]
        with committing():
            list(backfill.fill(airflow.client, window))

    listed(ended="success", begun="running")  # whose events may be on their way
    assert growth() == {"avram_silent_runs_total": 1}
    HarvestRun.objects.filter(dag_run_id="ended").update(first_event_at=START)
    for _again in range(2):
        listed(ended="failed", begun="failed")

    assert growth() == {"avram_silent_runs_total": 2}


def test_notices_are_counted_by_how_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    growth = Growth("avram_notices")
    subscription = factories.make_subscription()
    notices = [factories.make_notice(subscription) for _ in range(3)]

    delivery.deliver(notices[0].pk, 0)
    with monkeypatch.context() as away:
        away.setattr(EmailMessage, "send", _raise(OSError("away")))
        delivery.deliver(notices[1].pk, 0)
    delivery.deactivate(subscription.pk, "enough")
    for _twice in range(2):
        delivery.deliver(notices[2].pk, 0)

    assert growth() == {
        "avram_notices_total sent": 1,
        "avram_notices_total failed": 1,
        "avram_notices_total given_up": 1,
    }


# --- What is read ---------------------------------------------------------------------------------


def read() -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_tables().values()
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_gauges_tell_how_it_stands() -> None:
    now = timezone.now()
    make_run(last_heard_at=now - timedelta(hours=2), stale_since=now)
    make_run(last_heard_at=now, lost_since=now)
    make_run(status="succeeded")
    recording.record([sqs_message("no JSON")])
    subscription = factories.make_subscription()
    factories.make_notice(subscription)
    factories.make_notice(subscription, state="sent")
    for queue, source, waiting, minutes in (
        ("rikolti-events", "", 9, 7),
        ("rikolti-events", "", 7, 2),
        ("avram-tasks", "", 0, 3),
        ("rikolti-events-dlq", "rikolti-events", 1, 2),
    ):
        QueueReading.objects.create(
            queue=queue, source=source, visible=waiting, in_flight=3,
            read_at=now - timedelta(minutes=minutes),
            oldest_at=now - timedelta(hours=1) if waiting == 7 else None,
        )  # fmt: skip
    Heartbeat.objects.create(part="worker", host="a", at=Now())
    Heartbeat.objects.create(part="worker", host="b", at=Now() - timedelta(hours=1))

    told = read()

    assert of(told, "avram_runs", status="running") == 2
    assert of(told, "avram_runs", status="succeeded") == 1
    assert of(told, "avram_runs", status="failed") == 0
    assert of(told, "avram_runs_stale") == of(told, "avram_runs_lost") == 1
    assert of(told, "avram_run_longest_silence_seconds") == pytest.approx(7200, abs=60)
    assert of(told, "avram_newest_event_age_seconds") is None  # the message had none
    assert of(told, "avram_rejected_messages_waiting") == of(told, "avram_notices_waiting") == 1
    events = {"queue": "rikolti-events", "role": "queue"}
    assert of(told, "avram_queue_messages", **events, state="waiting") == 7
    assert of(told, "avram_queue_messages", **events, state="in_flight") == 3
    age = "avram_queue_oldest_message_age_seconds"
    assert of(told, age, **events) == pytest.approx(3600, abs=60)
    assert of(told, age, queue="avram-tasks", role="queue") == 0
    assert of(told, age, queue="rikolti-events-dlq", role="dead_letters") is None
    reading = "avram_queue_reading_age_seconds"
    assert of(told, reading, role="queue") == pytest.approx(180, abs=60)
    assert of(told, reading, role="dead_letters") == float("inf")
    heartbeat = "avram_heartbeat_age_seconds"
    assert of(told, heartbeat, part="worker") == pytest.approx(0, abs=60)
    assert of(told, heartbeat, part="beat") == float("inf")
    assert of(told, "avram_processes", part="worker", state="alive") == 1
    assert of(told, "avram_processes", part="worker", state="silent") == 1


def test_gauges_tell_how_long_events_changes_and_notices_are_waited_for() -> None:
    ages = (
        "avram_newest_event_age_seconds",
        "avram_run_change_longest_wait_seconds",
        "avram_notice_longest_overdue_seconds",
    )
    assert [of(read(), name) for name in ages] == [None, 0, 0]
    now = timezone.now()
    with committing():
        for number, hours in enumerate((30, 28)):
            recording.record([message(message_id=str(number), at=now - timedelta(hours=hours))])
    RunChange.objects.create(
        harvest_run=HarvestRun.objects.get(), kind="failed", changed_at=now - timedelta(hours=3)
    )
    subscription = factories.make_subscription()
    for hours in (-1, 2):
        factories.make_notice(subscription, due_at=now - timedelta(hours=hours))

    told = read()

    assert [of(told, name) for name in ages] == [
        pytest.approx(hours * 3600, abs=60) for hours in (28, 3, 2)
    ]


def test_queries_are_as_many_for_a_thousand_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "MOST_COUNTED", 500)
    make_run()
    with CaptureQueriesContext(connection) as few:
        read()
    template = make_run()
    HarvestRun.objects.bulk_create(
        HarvestRun(
            dag_id="d", dag_run_id=str(number), logical_date=START, host="", last_heard_at=START,
            status=template.status,
        )
        for number in range(1_000)
    )  # fmt: skip

    with CaptureQueriesContext(connection) as many:
        told = read()

    assert len(many) == len(few) <= 15
    assert of(told, "avram_runs", status="running") == 500


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_postgresql_has_an_index_for_each_gauge() -> None:
    make_run(status="succeeded")
    with CaptureQueriesContext(connection) as queries:
        read()
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # it reads a few rows whole, if it may
        cursor.execute("SET LOCAL enable_sort = off")
        for query in queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    assert len(plans) > 5
    for plan in plans:
        # Heartbeats are as few as processes. A primary key says nothing of what is asked for.
        assert "harvest_heartbeat" in plan or "Index" in plan
        assert "harvest_heartbeat" in plan or ("Seq Scan" not in plan and "_pkey" not in plan), plan


# --- What is told, and to whom --------------------------------------------------------------------


def test_nobody_is_told_without_a_token(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["registry.example.org"]
    assert client.get("/metrics").status_code == 404

    settings.METRICS_TOKEN = "t0ken"

    for authorization in ("", "t0ken", "Bearer", "Bearer t0ken2", "Basic t0ken", "Bearer tökén"):
        answer = client.get("/metrics", headers={"authorization": authorization})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_web_tells_what_is_counted_and_how_it_stands(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "t0ken"
    make_run()

    answer = client.get("/metrics", headers={"authorization": "Bearer t0ken", "host": "10.0.0.1"})

    assert answer["Content-Type"].startswith("text/plain")
    assert answer["Cache-Control"] == "no-store"
    found = {one.name: one for one in text_string_to_metric_families(answer.content.decode())}
    names = {metric.name for metric in REGISTRY.collect()}
    assert found.keys() == names | gauges.GAUGES.keys() | {"avram_database_up", "avram_build_info"}
    assert found["avram_build_info"].samples[0].labels == {"version": settings.VERSION}
    assert found["avram_database_up"].samples[0].value == 1
    runs = {sample.labels["status"]: sample.value for sample in found["avram_runs"].samples}
    assert runs == {"running": 1, "succeeded": 0, "failed": 0}


@pytest.mark.django_db(transaction=True)
def test_web_whose_files_are_gone_says_so(
    client: Client,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.DEBUG = True
    monkeypatch.setattr(metrics, "FOLDER", tmp_path)
    assert client.get("/metrics").status_code == 200

    monkeypatch.setattr(metrics, "FOLDER", tmp_path / "gone")

    assert client.get("/metrics").status_code == 500
    assert "metrics_not_told" in caplog.text


def test_database_that_is_away_is_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    collector = TableCollector(_raise(DatabaseError("no route to db.example.org")))

    (up,) = collector.collect()

    assert (up.name, up.samples[0].value) == ("avram_database_up", 0)
    assert "db.example.org" not in caplog.text


def test_database_that_is_silent_is_asked_once_and_waited_for_no_longer_than_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauges, "PATIENCE_SECONDS", 0.1)
    asked: list[None] = []
    answers = threading.Event()

    def read() -> gauges.Families:
        asked.append(None)
        answers.wait(60)
        return {}

    collector = TableCollector(read)
    for _again in range(3):
        assert [family.samples[0].value for family in collector.collect()] == [0]
    answers.set()

    assert len(asked) == 1


def test_what_was_read_is_good_for_a_while() -> None:
    asked: list[None] = []

    def read() -> gauges.Families:
        asked.append(None)
        return gauges.empty_families()

    collector = TableCollector(read)
    for _again in range(5):
        assert next(iter(collector.collect())).samples[0].value == 1

    assert len(asked) == 1
