"""Lists of the admin that grow for ever: what they count, read, search and filter by."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_results.models import TaskResult

from harvest import searching
from harvest.admin import longlists
from harvest.models import (
    Collection,
    HarvestEvent,
    HarvestRun,
    HarvestTrigger,
    Notice,
    RejectedMessage,
)
from tests import factories
from tests.factories import START

pytestmark = pytest.mark.django_db

PAGE = 50
#: How many rows PostgreSQL gets to see before it is asked for a plan.
ROWS = 2_000


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def make_events(run: HarvestRun, number: int, **fields: Any) -> list[HarvestEvent]:
    return HarvestEvent.objects.bulk_create(
        HarvestEvent(
            **{
                "harvest_run": run,
                "message_id": f"{run.pk}-{index:04}",
                "task_id": "mapping.map_page",
                "sns_timestamp": START + timedelta(seconds=index),
                "outcome": "running",
                "logical_date": START,
                "recorded_at": START,
                **fields,
            }
        )
        for index in range(number)
    )


def make_rejected(number: int, body: str = "x") -> RejectedMessage:
    at = START + timedelta(seconds=number)
    return RejectedMessage.objects.create(
        digest=str(number),
        body=body,
        reason="not_json",
        error="no",
        sent_at=at,
        first_seen_at=at,
        last_seen_at=at,
    )


def open_list(staff: Client, model: type[Model], **query: Any) -> Any:
    """Return the response to a list of the admin."""
    view = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    return staff.get(reverse(view), query)


def words(response: Any) -> str:
    """Return a page in one line, however its template is laid out."""
    return " ".join(response.content.decode().split())


def found(staff: Client, model: type[Model], **query: Any) -> set[Any]:
    return set(open_list(staff, model, **query).context["cl"].result_list)


# --- Counting and paging --------------------------------------------------------------------------


def test_count_goes_no_further_than_it_must(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longlists, "REACH", 30)
    make_events(factories.make_run(), 2 * PAGE + 20)

    with CaptureQueriesContext(connection) as queries:
        first = open_list(staff, HarvestEvent)

    counts = [query["sql"] for query in queries if "COUNT" in query["sql"].upper()]
    assert counts
    assert all("LIMIT 81" in count for count in counts)
    assert "80+ harvest events" in words(first)


def test_rows_beyond_the_count_are_found_by_paging(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(longlists, "REACH", 30)
    make_events(factories.make_run(), 2 * PAGE + 20)

    last = open_list(staff, HarvestEvent, p=3)

    assert "120 harvest events" in words(last)
    assert len(last.context["cl"].result_list) == 20


@pytest.mark.parametrize("page", ["0", "-1", "4", "9" * 30])
def test_page_that_is_not_there_leads_to_the_list(staff: Client, page: str) -> None:
    make_events(factories.make_run(), 2 * PAGE + 20)

    assert open_list(staff, HarvestEvent, p=page)["Location"].endswith("?e=1")


def test_page_that_is_no_number_is_the_first(staff: Client) -> None:
    events = make_events(factories.make_run(), PAGE + 1)

    assert found(staff, HarvestEvent, p="x") == set(events[1:])


def test_only_the_rows_of_a_page_are_read_whole(staff: Client) -> None:
    """The end of an exception is taken from fifty events, not from all before them as well."""
    make_events(factories.make_run(), PAGE + 1)

    with CaptureQueriesContext(connection) as queries:
        page = open_list(staff, HarvestEvent, p=2)

    assert len(page.context["cl"].result_list) == 1
    whole = [query["sql"] for query in queries if "rikolti_message" in query["sql"]]
    assert len(whole) == 1
    assert "OFFSET" not in whole[0]


def test_all_events_are_sorted_by_time_alone_those_of_a_run_by_anything(staff: Client) -> None:
    run = factories.make_run()
    make_events(run, 2)

    every = open_list(staff, HarvestEvent).content.decode()
    of_run = open_list(staff, HarvestEvent, harvest_run__id__exact=run.pk).content.decode()

    assert "sortable column-sns_timestamp" in every
    assert "sortable column-map_index" not in every
    assert "sortable column-map_index" in of_run


# --- Searching ------------------------------------------------------------------------------------


def test_events_are_found_by_message_task_and_run(staff: Client) -> None:
    one, other = (factories.make_run(dag_run_id=f"manual__{name}") for name in ("one", "other"))
    mapped, *_ = make_events(one, 1)
    (fetched,) = make_events(other, 1, task_id="fetching.fetch_collection")

    def search(text: str) -> set[HarvestEvent]:
        return found(staff, HarvestEvent, q=text)

    assert search(mapped.message_id) == {mapped}
    assert search("mapping.") == {mapped}
    assert search("manual__one") == {mapped}
    assert search("manual__o") == {mapped, fetched}
    assert search("fetching. manual__o") == {fetched}
    assert search("fetching. manual__one") == set()
    assert search("map_page") == set()


def test_runs_are_found_by_collection_and_run(staff: Client) -> None:
    portraits = factories.make_collection(17, name="Family portraits")
    earthquake = factories.make_collection(18, name="The earthquake of 1906")
    one = factories.make_run(dag_run_id="manual__1", collection=portraits, conf_collection_id=17)
    two = factories.make_run(dag_run_id="manual__2", collection=earthquake, conf_collection_id=18)
    unknown = factories.make_run(dag_run_id="manual__3", conf_collection_id=99)

    def search(text: str) -> set[HarvestRun]:
        return found(staff, HarvestRun, q=text)

    assert search("17") == {one}
    assert search("99") == {unknown}
    assert search("1906") == {two}
    assert search("PORTRAIT") == {one}
    assert search("earthquake manual__") == {two}
    assert search("manual__") == {one, two, unknown}
    assert search("nowhere") == set()


@pytest.mark.parametrize("model", [HarvestRun, HarvestEvent])
@pytest.mark.parametrize("text", ["9" * 5000, "9" * 10, "²", "%", "'", "\\", "\N{SNOWMAN}"], ids=repr)
def test_search_for_anything(staff: Client, model: type[Model], text: str) -> None:
    make_events(factories.make_run(), 1)

    assert found(staff, model, q=text) == set()


def test_rejected_messages_are_searched_newest_first(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SEARCHED", 2)
    old, new, newest = (make_rejected(number, body="the same") for number in range(3))

    assert found(staff, RejectedMessage, q="same") == {new, newest}
    assert found(staff, RejectedMessage) == {old, new, newest}


def test_triggers_are_found_by_collection_and_by_how_a_run_begins(staff: Client) -> None:
    first = factories.make_trigger(factories.make_collection(17, name="Goats of Ucla"))
    other = factories.make_trigger(factories.make_collection(18), dag_run_id="scheduled__17")

    for words_of_it in ("17", "goats", "manual__2026", "goats manual__"):
        assert found(staff, HarvestTrigger, q=words_of_it) == {first}, words_of_it
    assert found(staff, HarvestTrigger, q="scheduled__") == {other}
    assert found(staff, HarvestTrigger, q="2026") == set()


# --- Filters --------------------------------------------------------------------------------------


def test_filter_knows_all_dags_without_reading_all_runs(staff: Client) -> None:
    names = ["fetch", "harvest", "validate"]
    for index in range(9):
        factories.make_run(dag_id=names[index % 3])

    with CaptureQueriesContext(connection) as queries:
        page = open_list(staff, HarvestRun)

    (choices,) = (f for f in page.context["cl"].filter_specs if f.title == "DAG")
    assert [choice["display"] for choice in choices.choices(page.context["cl"])] == ["All", *names]
    distinct = [query["sql"] for query in queries if "DISTINCT" in query["sql"]]
    assert not [query for query in distinct if "harvest_harvestrun" in query]


def test_filter_knows_all_kinds_of_notices_without_reading_all(staff: Client) -> None:
    subscription = factories.make_subscription()
    for kind in ("failed", "lost", "lost"):
        factories.make_notice(subscription, kind=kind)

    with CaptureQueriesContext(connection) as queries:
        page = open_list(staff, Notice)

    (choices,) = (f for f in page.context["cl"].filter_specs if f.title == "kind")
    shown = [choice["display"] for choice in choices.choices(page.context["cl"])]
    assert shown == ["All", "failed", "lost"]
    assert not [query["sql"] for query in queries if "DISTINCT" in query["sql"]]


# --- Task results ---------------------------------------------------------------------------------


def test_task_results_are_listed_found_and_deleted(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SEARCHED", 2)
    old = TaskResult.objects.create(task_id="a0", task_name="reconcile_runs")
    swept = TaskResult.objects.create(
        task_id="a1", task_name="reconcile_runs", periodic_task_name="sweep"
    )
    failed = TaskResult.objects.create(task_id="b2", task_name="record_event", status="FAILURE")

    assert found(staff, TaskResult) == {old, swept, failed}
    assert found(staff, TaskResult, q="a0") == {old}
    assert found(staff, TaskResult, q="b2") == {failed}
    assert found(staff, TaskResult, q="reconcile") == {swept}
    assert found(staff, TaskResult, status="FAILURE") == {failed}
    assert found(staff, TaskResult, periodic_task_name__isnull="True") == {old, failed}

    page = reverse("admin:django_celery_results_taskresult_change", args=[failed.pk])
    assert "record_event" in staff.get(page).content.decode()
    staff.post(
        reverse("admin:django_celery_results_taskresult_changelist"),
        {"action": "delete_selected", "_selected_action": [failed.pk], "post": "yes"},
    )
    assert found(staff, TaskResult) == {old, swept}


# --- Indexes --------------------------------------------------------------------------------------


@pytest.fixture
def counted_rows() -> None:
    """Rows of many kinds, which PostgreSQL has counted: of an empty table it would guess an index."""
    HarvestRun.objects.bulk_create(
        HarvestRun(
            dag_id=f"dag-{number % 50}",
            dag_run_id=f"run-{number}",
            host=f"https://airflow-{number % 50}.example.org",
            logical_date=START,
            last_heard_at=START + timedelta(seconds=number * 7919 % ROWS),
            stale_since=None if number % 50 else START,
            errors=0 if number % 50 else 1,
            status="running" if number % 50 else "failed",
            failed_since=None if number % 50 else START + timedelta(seconds=number),
        )
        for number in range(ROWS)
    )
    for number, run in enumerate(HarvestRun.objects.all()[:ROWS:50]):
        make_events(run, 50, task_id=f"task-{number}")
    HarvestEvent.objects.filter(message_id__endswith="0007").update(outcome="failed", error=True)
    ends = HarvestEvent.objects.filter(message_id__endswith="0049")
    ends.update(outcome="succeeded", dag_level=True)
    for number in range(50):
        make_rejected(number)
        factories.make_collection(number + 1)
    HarvestTrigger.objects.bulk_create(
        HarvestTrigger(
            collection_id=1 + number % 50,
            dag_id="harvest_collection",
            dag_run_id=f"run-{number}",
            logical_date=START + timedelta(seconds=number),
            state="accepted" if number % 50 else "unknown",
        )
        for number in range(ROWS)
    )
    subscription = factories.make_subscription(User.objects.create_user("owner"))
    Notice.objects.bulk_create(
        Notice(
            subscription=subscription,
            kind="failed" if number % 50 else "lost",
            state="sent" if number % 50 else "failed",
            created_at=START + timedelta(seconds=number),
            due_at=START,
        )
        for number in range(ROWS)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.usefixtures("counted_rows")
@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"error": True, "outcome": "succeeded"}, "event_odd_error"),
        ({"error": True, "outcome": "running"}, "event_odd_error"),
        ({"error": False, "outcome": "failed"}, "event_odd_failure"),
        ({"dag_level": True, "outcome": "running"}, "event_odd_dag"),
        ({"dag_level": False, "outcome": "succeeded"}, "event_odd_success"),
    ],
    ids=str,
)
def test_postgresql_has_an_index_for_filters_that_hardly_go_together(
    filters: dict[str, Any], index: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        # Of so few rows PostgreSQL would as well read all of one filter.
        cursor.execute("DROP INDEX event_newest_of_outcome, event_newest_of_dag")

    assert f" {index} " in HarvestEvent.objects.filter(**filters)[:50].explain()


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.usefixtures("counted_rows")
def test_postgresql_expects_few_events_where_filters_hardly_go_together() -> None:
    """Else it may take an index of one of them, and read all that it has."""

    def expected() -> int:
        [plan] = json.loads(
            HarvestEvent.objects.filter(dag_level=True, outcome="running").explain(format="json")
        )
        return int(plan["Plan"]["Plan Rows"])

    informed = expected()
    with connection.cursor() as cursor:
        cursor.execute("DROP STATISTICS event_kinds")

    assert informed < 5 < expected()


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.usefixtures("counted_rows")
def test_postgresql_has_an_index_for_what_the_lists_ask() -> None:
    runs, events, triggers = HarvestRun.objects, HarvestEvent.objects, HarvestTrigger.objects
    asked: list[tuple[QuerySet[Any], str]] = [
        (runs.all(), "run_newest_first"),
        (runs.filter(dag_id="dag-7"), "run_newest_of_dag"),
        (runs.filter(host="https://airflow-7.example.org"), "run_newest_of_host"),
        (runs.filter(stale_since__isnull=False), "run_newest_stale"),
        (runs.filter(errors__gt=0), "run_newest_with_errors"),
        (runs.filter(failed_since__gte=START).order_by("-failed_since", "-pk"), "run_newest_failure"),
        (runs.filter(dag_run_id__startswith="run-77").order_by(), "harvest_run_identity"),
        (events.all(), "event_newest"),
        (events.filter(Q(outcome="failed")), "event_newest_of_outcome"),
        (events.filter(dag_level=True), "event_newest_of_dag"),
        (events.filter(task_id__startswith="task-7").order_by(), "event_task"),
        (triggers.filter(dag_run_id__startswith="run-77").order_by(), "trigger_dag_run"),
        (triggers.filter(state="unknown"), "trigger_newest_of_state"),
        (Notice.objects.filter(state="failed"), "notice_newest_of_state"),
        (Notice.objects.filter(kind="lost"), "notice_newest_of_kind"),
        (RejectedMessage.objects.all(), "rejected_newest"),
        (Collection.objects.filter(name__iexact="collection 7"), "collection_name"),
    ]
    with connection.cursor() as cursor:
        # A table of a few rows is read whole, were it not forbidden.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")

    plans = [(index, rows[:50].explain()) for rows, index in asked]

    assert [(index, plan) for index, plan in plans if f" {index} " not in plan] == []
