"""The list of runs: what each row says, filters, search, and the answer to a browser that asks again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from harvest import recording, searching
from harvest.models import HarvestRun
from tests import factories
from tests.factories import START, make_collection, make_run

pytestmark = pytest.mark.django_db

RUNS = reverse("admin:harvest_harvestrun_changelist")
ASKED_BY_THE_PAGE = {"X-Live": "1"}


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def store(*messages: Any) -> HarvestRun:
    run_id = recording.record(list(messages)).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def found(staff: Client, **query: Any) -> list[HarvestRun]:
    return list(staff.get(RUNS, query).context["cl"].result_list)


def words(staff: Client, **query: Any) -> str:
    return " ".join(staff.get(RUNS, query).content.decode().split())


# --- A row ----------------------------------------------------------------------------------------


def test_row_tells_tasks_times_and_source(staff: Client) -> None:
    store(
        factories.message(task_id="fetch"),
        factories.task_error(task_id="map", map_index=3, seconds=60),
        factories.failed(seconds=3725),
    )

    text = words(staff)

    assert "1 done, " in text
    assert "</span> 1 failed</span>" in text
    assert "KeyError: &#x27;isShownAt&#x27;" in text
    assert "by its events" in text
    assert "took 1 h 2 min" in text
    last = '<time class="short" datetime="2026-11-24T06:23:39+00:00" title="2026-11-24 06:23:39 UTC">'
    assert last in text
    assert f'href="{factories.HOST}/dags/harvest_collection/grid?' in text


def test_running_run_took_until_now_a_silent_one_nobody_knows(staff: Client) -> None:
    now = timezone.now()
    make_run(first_event_at=now - timedelta(days=3, hours=4, minutes=5), last_heard_at=now)
    assert "3 d 4 h" in words(staff)

    HarvestRun.objects.update(stale_since=now)
    assert "3 d 4 h" not in words(staff)


def test_lost_run_says_so(staff: Client) -> None:
    make_run(lost_since=START, lost_reason="Airflow knows no such run")

    assert '<span class="status status-lost">' in words(staff)
    assert "running, lost" in words(staff)


def test_run_that_a_person_called_failed_says_why(staff: Client) -> None:
    run = make_run()
    recording.set_status(run.pk, HarvestRun.Status.FAILED, "the machine was shut down")

    assert "the machine was shut down" in words(staff)


# --- Filters --------------------------------------------------------------------------------------


def test_runs_are_filtered_by_standing_errors_and_host(staff: Client) -> None:
    well = make_run(host="")
    stale = make_run(stale_since=START, errors=1)
    lost = make_run(lost_since=START, host="https://other.example.org")

    assert found(staff, standing="stale") == [stale]
    assert found(staff, standing="lost") == [lost]
    assert found(staff, standing="neither") == [well]
    assert found(staff, errors="yes") == [stale]
    assert found(staff, errors="no") == [lost, well]
    assert found(staff, host="https://other.example.org") == [lost]
    assert found(staff, host="") == [well]
    assert "> (none) </a>" in words(staff)


def test_runs_are_filtered_by_campus(staff: Client) -> None:
    campuses: tuple[list[str], ...] = (
        ["UC Berkeley"],
        ["UC Berkeley", "UC Davis"],
        [],
        ["UC \"x\" 'Ö'"],
    )
    one, both, _, odd = (
        make_run(collection=make_collection(number, campus_names=names))
        for number, names in enumerate(campuses, start=1)
    )
    make_run()

    assert found(staff, campus="UC Berkeley") == [both, one]
    assert found(staff, campus="UC Davis") == [both]
    assert found(staff, campus="UC \"x\" 'Ö'") == [odd]
    assert found(staff, campus="nowhere") == []


def test_runs_are_filtered_by_age_and_days(staff: Client) -> None:
    now = timezone.now()
    fresh, week, old = (make_run(last_heard_at=now - timedelta(days=days)) for days in (0.5, 3, 20))
    day = week.last_heard_at.date().isoformat()

    assert found(staff, within="24h") == [fresh]
    assert found(staff, within="7d") == [fresh, week]
    assert found(staff, within="30d") == [fresh, week, old]
    assert found(staff, last_heard_at_from=day, last_heard_at_to=day) == [week]
    assert found(staff, last_heard_at_from=day) == [fresh, week]
    assert found(staff, last_heard_at_to=day) == [week, old]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9" * 500, "<script>"])
def test_day_that_is_none_leads_to_the_list(staff: Client, day: str) -> None:
    assert staff.get(RUNS, {"last_heard_at_from": day})["Location"].endswith("?e=1")


@pytest.mark.parametrize("name", ["standing", "errors", "within", "campus", "dag_id", "host"])
def test_choice_that_is_none_is_no_fault(staff: Client, name: str) -> None:
    assert staff.get(RUNS, {name: "<nonsense>"}).status_code == 200


# --- Search ---------------------------------------------------------------------------------------


def test_runs_are_found_by_task_and_by_text_of_an_error(staff: Client) -> None:
    one = store(factories.message(dag_run_id="one", task_id="merging.merge_children"))
    other = store(factories.task_error(dag_run_id="other", task_id="mapping.map_page"))
    ended = store(factories.failed(dag_run_id="ended"))

    assert found(staff, q="merging.merge_children") == [one]
    assert found(staff, q="isShownAt") == [other]
    assert found(staff, q="KeyError: 'isShownAt'") == [other]
    assert found(staff, q="recent call last") == [other]
    assert found(staff, q="task_failure") == [ended]
    assert found(staff, q="nowhere") == []


def test_tasks_and_errors_are_searched_among_the_newest(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SEARCHED", 2)
    _, two, three = (
        store(factories.task_error(dag_run_id=f"run {number}", seconds=number)) for number in range(3)
    )

    assert found(staff, q="isShownAt") == [three, two]
    assert found(staff, q="fetching.fetch_collection") == [three, two]


# --- As the list grows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "headers", "most"),
    [
        ({}, {}, 10),
        ({"q": "isShownAt"}, {}, 16),
        ({"campus": "UC Berkeley", "failed": "7d"}, {}, 10),
        ({}, ASKED_BY_THE_PAGE, 6),
    ],
    ids=str,
)
def test_queries_are_the_same_for_many_runs(
    staff: Client, query: dict[str, str], headers: dict[str, str], most: int
) -> None:
    """And for many DAGs and hosts."""
    collection = make_collection(campus_names=["UC Berkeley"])
    store(factories.task_error())

    def queries(number: int) -> int:
        factories.fill_up_runs(
            number,
            lambda index: {
                "collection": collection,
                "logical_date": START,
                "last_heard_at": START + timedelta(minutes=index),
            },
        )
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(RUNS, query, headers=headers).status_code == 200
        return len(captured)

    assert queries(100) == queries(10_000) <= most


# --- A browser that asks again --------------------------------------------------------------------


def test_page_that_asks_again_gets_the_rows_alone(staff: Client) -> None:
    make_run(dag_id="the_dag")

    text = staff.get(RUNS, {"dag_id": "the_dag"}, headers=ASKED_BY_THE_PAGE).content.decode()

    assert 'id="result_list"' in text
    assert "1 harvest run" in " ".join(text.split())
    assert "nav-sidebar" not in text


def test_asking_again_uses_up_no_message_and_renews_no_session(staff: Client) -> None:
    run = make_run()
    staff.post(RUNS, {"action": "recompute", "_selected_action": [run.pk]})

    again = staff.get(RUNS, headers=ASKED_BY_THE_PAGE)

    assert not again.cookies
    assert "1 run is up to date." not in again.content.decode()
    assert "1 run is up to date." in words(staff)


def test_asking_again_without_a_session_leads_to_the_login(client: Client) -> None:
    assert "/login/" in client.get(RUNS, headers=ASKED_BY_THE_PAGE)["Location"]


def test_asking_again_for_what_is_no_list_is_refused(staff: Client) -> None:
    assert staff.get(RUNS, {"last_heard_at_from": "x"}, headers=ASKED_BY_THE_PAGE).status_code == 409
