"""The JSON API: what it answers, to whom, and at what cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.throttling import UserRateThrottle

from harvest.api import answers, paging
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from tests import factories
from tests.factories import HOST, START

pytestmark = pytest.mark.django_db

ALL = (
    "view_harvestrun",
    "view_collection",
    "view_harvestevent",
    "view_rejectedmessage",
)
ADDRESSES = ("/api/runs/", "/api/events/", "/api/health/", "/api/schema/")


def make_person(name: str, *codenames: str) -> User:
    person = User.objects.create_user(name)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return person


@pytest.fixture
def api(client: Client) -> Client:
    """Someone who may view all of it."""
    token = Token.objects.create(user=make_person("dashboard", *ALL))
    client.defaults["HTTP_AUTHORIZATION"] = f"Token {token.key}"
    cache.clear()
    return client


def ask(api: Client, path: str, **query: Any) -> Any:
    response = api.get(path, query)
    assert response.status_code == 200, response.content
    return response.json()


def ids(answer: Any) -> list[int]:
    return [row["id"] for row in answer["results"]]


def make_event(run: HarvestRun, **fields: Any) -> HarvestEvent:
    number = HarvestEvent.objects.count()
    defaults = {
        "harvest_run": run,
        "message_id": f"{run.pk}-{number}",
        "task_id": "mapping.map_page",
        "map_index": 3,
        "sns_timestamp": START + timedelta(seconds=number),
        "outcome": "running",
        "logical_date": START,
        "recorded_at": START,
    }
    return HarvestEvent.objects.create(**{**defaults, **fields})


# --- Who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ADDRESSES)
def test_api_without_login_says_how_to_log_in(client: Client, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"
    assert "credentials were not provided" in response.content.decode()


def test_api_with_a_token_that_is_none(client: Client) -> None:
    response = client.get("/api/runs/", headers={"Authorization": "Token x"})

    assert response.status_code == 401
    assert response.json() == {"detail": "Invalid token."}


def test_api_by_session(client: Client) -> None:
    client.force_login(make_person("ada", *ALL))

    assert ask(client, "/api/runs/") == {"next": None, "results": []}


@pytest.mark.parametrize("address", ["/api/runs/", "/api/events/", "/api/health/"])
def test_api_needs_the_permission_to_view(client: Client, address: str) -> None:
    client.force_login(make_person("stranger", "change_harvestrun"))

    response = client.get(address)

    assert response.status_code == 403
    assert "permission to view" in response.json()["detail"]


def test_token_of_a_person_who_left_is_none(api: Client) -> None:
    User.objects.update(is_active=False)

    assert api.get("/api/runs/").status_code == 401


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize("address", ["/api/runs/", "/api/health/"])
def test_api_changes_nothing(api: Client, address: str, method: str) -> None:
    response = getattr(api, method)(address)

    assert response.status_code == 405
    assert "not allowed" in response.json()["detail"]


def test_too_many_requests_are_told_to_wait(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "2/min"})

    responses = [api.get("/api/health/") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert int(responses[-1]["Retry-After"]) > 0


# --- Runs -----------------------------------------------------------------------------------------


def test_run_of_the_list_says_what_the_admin_does(api: Client) -> None:
    collection = factories.make_collection(campus_names=["UC Davis"])
    run = factories.make_run(
        collection=collection,
        conf_collection_id=27551,
        status="failed",
        failure_reason="KeyError: 'isShownAt'",
        dag_run_conf={"a": "b"},
    )

    [answer] = ask(api, "/api/runs/")["results"]

    assert answer["status"] == "failed"
    assert answer["why"] == "KeyError: 'isShownAt'"
    assert answer["collection"] == {"id": 27551, "name": "Collection 27551", "campuses": ["UC Davis"]}
    assert answer["url"].endswith(f"/admin/harvest/harvestrun/{run.pk}/change/")
    assert answer["airflow_url"].startswith(f"{HOST}/dags/harvest_collection/grid?")
    assert "dag_run_conf" not in answer


def test_run_by_itself_is_whole(api: Client) -> None:
    run = factories.make_run(dag_run_conf={"a": "b"}, airflow_state="success")

    answer = ask(api, f"/api/runs/{run.pk}/")

    assert answer["dag_run_conf"] == {"a": "b"}
    assert answer["airflow_state"] == "success"
    assert answer["collection"] is None


def test_host_that_is_no_web_address_is_no_link(api: Client) -> None:
    run = factories.make_run(host="javascript:alert(1)")

    assert ask(api, f"/api/runs/{run.pk}/")["airflow_url"] is None


@pytest.fixture
def two_runs() -> tuple[HarvestRun, HarvestRun]:
    """One that each filter of the test below is for, and one that none is for."""
    davis = factories.make_collection(campus_names=["UC Davis", "Université"])
    other = factories.make_collection(2, campus_names=["UC Davis Medical"])
    wanted = factories.make_run(
        collection=davis,
        dag_id="publish_collection",
        dag_run_id="wanted",
        host="https://other.example.org",
        stale_since=START,
        lost_since=START,
        last_heard_at=START + timedelta(days=1),
    )
    make_event(wanted, error=True)
    rest = factories.make_run(collection=other, status="failed")
    make_event(rest)
    return wanted, rest


@pytest.mark.parametrize(
    ("name", "value", "opposite"),
    [
        ("status", "running", "failed"),
        ("stale", "true", "false"),
        ("lost", "1", "0"),
        ("has_errors", "true", "false"),
        ("dag_id", "publish_collection", "harvest_collection"),
        ("host", "https://other.example.org", HOST),
        ("collection", "27551", "2"),
        ("campus", "UC Davis", "UC Davis Medical"),
        ("campus", "Université", "UC Davis Medical"),
        ("heard_after", "2026-11-25T05:21:34Z", None),
        ("heard_after", "2026-11-25", None),
        ("dag_run_id", "wanted", None),
    ],
)
def test_runs_are_filtered(
    api: Client,
    two_runs: tuple[HarvestRun, HarvestRun],
    name: str,
    value: str,
    opposite: str | None,
) -> None:
    wanted, rest = two_runs

    assert ids(ask(api, "/api/runs/", **{name: value})) == [wanted.pk]
    if opposite:
        assert ids(ask(api, "/api/runs/", **{name: opposite})) == [rest.pk]


def test_runs_before_a_date_are_without_it(api: Client, two_runs: tuple[HarvestRun, HarvestRun]) -> None:
    assert ids(ask(api, "/api/runs/", heard_before="2026-11-25T05:21:34Z")) == [two_runs[1].pk]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("runs", "status", "broken"),
        ("runs", "stale", "maybe"),
        ("runs", "collection", "x"),
        ("runs", "collection", "-1"),
        ("runs", "collection", "9" * 30),
        ("runs", "collection", "1.5"),
        ("runs", "heard_after", "yesterday"),
        ("runs", "heard_after", "0001-01-01T00:00:00+14:00"),
        ("runs", "heard_before", "9999-12-31T23:59:59-14:00"),
        ("runs", "dag_id", "x" * 300),
        ("runs", "campus", "a\0b"),
        ("runs", "stattus", "failed"),
        ("runs", "page_size", "0"),
        ("runs", "page_size", "201"),
        ("runs", "page_size", "x"),
        ("runs", "cursor", "x"),
        ("runs", "cursor", "é"),
        ("runs", "cursor", "x" * 5_000),
        ("runs", "cursor", ""),
        ("runs", "status", ""),
        ("runs", "status", ["running", "failed"]),
        ("events", "run", "x"),
        ("events", "error", "2"),
        ("events", "published_after", "24 November"),
        ("events", "task_id", "\0"),
    ],
)
def test_filter_that_can_not_be_meant_is_an_error(
    api: Client, path: str, name: str, value: str | list[str]
) -> None:
    response = api.get(f"/api/{path}/", {name: value})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [name]


@pytest.mark.parametrize(
    "path",
    ["runs/1/", "runs/x/", f"runs/{'9' * 30}/", "runs/1/events/", "events/1/", "nothing/", "", "runs"],
)
def test_what_is_not_there_is_said_in_json(api: Client, path: str) -> None:
    response = api.get(f"/api/{path}")

    assert response.status_code == 404
    assert response.json()["detail"]
    assert "matches the given query" not in response.json()["detail"]  # which names a class of ours


def test_database_that_is_away_is_said_in_json(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rows: QuerySet[Any]) -> int:
        raise OperationalError("connection to server at 10.0.0.1 failed for user avram")

    monkeypatch.setattr(answers, "count", refuse)

    response = api.get("/api/health/")

    assert response.status_code == 503
    assert response.json() == {"detail": "The database is away or busy. Try again in a moment."}


# --- Events ---------------------------------------------------------------------------------------


def test_event_is_whole_by_itself_alone(api: Client) -> None:
    run = factories.make_run()
    event = make_event(run, rikolti_message={"traceback": "x" * 100_000}, sns_message={"Type": "n"})

    [listed] = ask(api, "/api/events/")["results"]
    whole = ask(api, f"/api/events/{event.pk}/")

    assert "rikolti_message" not in listed
    assert listed["log_url"].endswith("tab=logs")
    assert whole["rikolti_message"] == {"traceback": "x" * 100_000}
    assert whole["sns_message"] == {"Type": "n"}


def test_events_of_a_run(api: Client) -> None:
    run, other = factories.make_run(), factories.make_run()
    events = [make_event(run), make_event(run, error=True), make_event(other)]

    assert ids(ask(api, f"/api/runs/{run.pk}/events/")) == [events[1].pk, events[0].pk]
    assert ids(ask(api, f"/api/runs/{run.pk}/events/", error="true")) == [events[1].pk]
    assert ids(ask(api, "/api/events/", run=other.pk)) == [events[2].pk]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_id", "fetching.fetch"),
        ("error", "true"),
        ("dag_level", "true"),
        ("outcome", "failed"),
        ("published_after", "2026-11-25T00:00:00Z"),
    ],
)
def test_events_are_filtered(api: Client, name: str, value: str) -> None:
    run = factories.make_run()
    make_event(run)
    wanted = make_event(
        run,
        task_id="fetching.fetch",
        error=True,
        dag_level=True,
        outcome="failed",
        sns_timestamp=START + timedelta(days=1),
    )

    assert ids(ask(api, "/api/events/", **{name: value})) == [wanted.pk]


# --- Pages ----------------------------------------------------------------------------------------


def test_pages_have_each_row_once_whatever_comes_meanwhile(api: Client) -> None:
    """More rows of one time than a page has, and new ones while it is read."""
    runs = [factories.make_run() for _ in range(7)]
    later = [factories.make_run(last_heard_at=START + timedelta(days=1)) for _ in range(2)]
    expected = [run.pk for run in reversed([*runs, *later])]

    found, path = [], "/api/runs/?page_size=2&dag_id=harvest_collection"
    while path:
        page = ask(api, path)
        assert len(page["results"]) <= 2
        found += ids(page)
        path = page["next"] and page["next"].removeprefix("http://testserver")
        factories.make_run(last_heard_at=START + timedelta(days=2))

    assert found == expected


def test_cursor_tells_the_row_and_no_more() -> None:
    at = datetime(2026, 11, 24, 5, 21, 34, 123456, tzinfo=UTC)

    assert paging._decode(paging._encode(at, 2**62)) == (at, 2**62)


# --- Health ---------------------------------------------------------------------------------------


def test_health_counts_what_needs_a_look(api: Client) -> None:
    now = timezone.now()
    factories.make_run()
    factories.make_run(stale_since=now)
    factories.make_run(stale_since=now, lost_since=now)
    factories.make_run(status="failed", last_heard_at=now)
    factories.make_run(status="failed", last_heard_at=now - timedelta(days=2))
    factories.make_run(status="succeeded")
    for number, replayed_at in enumerate((None, now)):
        RejectedMessage.objects.create(
            digest=str(number),
            body="x",
            reason="not_json",
            error="no",
            sent_at=now,
            first_seen_at=now,
            last_seen_at=now,
            replayed_at=replayed_at,
        )

    assert ask(api, "/api/health/") == {
        "running": 3,
        "failed": 2,
        "failed_last_day": 1,
        "stale": 2,
        "lost": 1,
        "rejected_waiting": 1,
    }


def test_health_counts_so_far_and_no_further(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_COUNTED", 2)
    for _ in range(3):
        factories.make_run()

    assert ask(api, "/api/health/")["running"] == 2


# --- Cost -----------------------------------------------------------------------------------------


def grow(number: int) -> None:
    """Make so many runs in all, each with an event and a collection of its own."""
    have = HarvestRun.objects.count()
    runs = HarvestRun.objects.bulk_create(
        HarvestRun(
            dag_id="harvest_collection",
            dag_run_id=f"run {index}",
            logical_date=START,
            host=HOST,
            collection_id=27551,
            status="failed",
            last_heard_at=START + timedelta(seconds=index),
        )
        for index in range(have, number)
    )
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            message_id=f"event of {run.pk}",
            harvest_run=run,
            sns_timestamp=run.last_heard_at,
            task_id="mapping.map_page",
            error=True,
            rikolti_message={"exception": "KeyError"},
            outcome="failed",
            logical_date=START,
            recorded_at=START,
        )
        for run in runs
    )


def test_queries_are_as_many_with_10000_runs_as_with_100(api: Client) -> None:
    factories.make_collection()
    counts: list[dict[str, int]] = []
    for number in (100, 10_000):
        grow(number)
        run, event = HarvestRun.objects.latest("pk"), HarvestEvent.objects.latest("pk")
        paths = (
            "/api/runs/?page_size=100",
            "/api/runs/?has_errors=true&campus=x&status=failed",
            f"/api/runs/{run.pk}/",
            f"/api/runs/{run.pk}/events/",
            "/api/events/?page_size=100",
            f"/api/events/{event.pk}/",
            "/api/health/",
        )
        found = {}
        for place, path in enumerate(paths):
            with CaptureQueriesContext(connection) as queries:
                ask(api, path)
            found[str(place)] = len(queries)
        counts.append(found)

    assert counts[0] == counts[1]
    assert max(counts[1].values()) <= 10
