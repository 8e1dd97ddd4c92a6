"""Starting runs from the admin: who may, what is asked, what is said of the outcome."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from harvest import airflow_api, recording
from harvest.admin.starting import start_url
from harvest.airflow_api import Host, Kind, Unavailable
from harvest.airflow_api.answers import Answer
from harvest.models import Collection, HarvestTrigger
from tests.factories import HOST, START, complete, make_collection, make_trigger, message
from tests.fake_airflow import FakeAirflow

pytestmark = pytest.mark.django_db

OTHER = "https://other.example.org"
LIST = reverse("admin:harvest_collection_changelist")
VERSION = "1/vernacular_metadata_2026-11-24T05:21:45/"
MAPPED = f"{VERSION}mapped_metadata_2026-11-24T05:22:03/"
PERMISSIONS = ("trigger_run", "view_collection", "view_harvesttrigger", "view_harvestrun")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    fake = FakeAirflow()
    monkeypatch.setitem(airflow_api._clients, HOST, fake.client)
    return fake


@pytest.fixture
def publisher(client: Client) -> Client:
    log_in(client, *PERMISSIONS)
    return client


def log_in(client: Client, *codenames: str) -> User:
    user = User.objects.create_user("-".join(["user", *codenames])[:150], is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def text_of(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    assert response.status_code == 200
    return unescape(response.content.decode())


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def start(client: Client, action: str, *ids: int, **fields: str) -> str:
    """Confirm what a page asks, and return the page that tells what became of it."""
    url = start_url(action, ids)
    data = {"token": token_of(text_of(client, url)), "host": HOST, **fields}
    response = client.post(url, data, follow=True)
    assert response.status_code == 200
    return unescape(response.content.decode())


# --- Who may --------------------------------------------------------------------------------------


def test_pages_need_a_login(client: Client) -> None:
    make_collection(1)

    response = client.get(start_url("harvest", [1]))

    assert response.status_code == 302
    assert "/login/" in response["Location"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_pages_need_the_permission(client: Client, airflow: FakeAirflow, method: str) -> None:
    made = make_trigger(make_collection(1), hostname=HOST, state="unknown")
    log_in(client, "view_collection", "change_collection", "view_harvesttrigger", "view_harvestrun")
    token = "0" * 16
    started = reverse("admin:harvest_collection_started", args=["harvest", token]) + "?ids=1"
    look = reverse("admin:harvest_harvesttrigger_look_again", args=[made.pk])

    for url in (start_url("harvest", [1]), started, look):
        data = {"token": token, "host": HOST}
        assert getattr(client, method)(url, data if method == "post" else None).status_code == 403

    assert airflow.asked == []


def test_pages_show_no_buttons_without_the_permission(client: Client) -> None:
    collection = make_collection(1)
    trigger = make_trigger(collection, hostname=HOST, state="unknown")
    log_in(client, "view_collection", "change_collection", "view_harvesttrigger")

    assert "harvest_selected" not in text_of(client, LIST)
    assert "/start/" not in text_of(client, reverse("admin:harvest_collection_change", args=[1]))
    page = text_of(client, reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]))
    assert "look-again" not in page


def test_posts_need_the_token_of_csrf(airflow: FakeAirflow) -> None:
    client = Client(enforce_csrf_checks=True)
    made = make_trigger(make_collection(1), hostname=HOST, state="unknown")
    log_in(client, *PERMISSIONS)
    look = reverse("admin:harvest_harvesttrigger_look_again", args=[made.pk])

    for url in (start_url("harvest", [1]), look):
        assert client.post(url, {"token": "0" * 16, "host": HOST}).status_code == 403

    assert airflow.asked == []


# --- What is asked --------------------------------------------------------------------------------


def test_action_of_the_list_asks_first(publisher: Client, airflow: FakeAirflow) -> None:
    for pk in (1, 2):
        make_collection(pk)

    response = publisher.post(
        LIST, {"action": "harvest_selected", "_selected_action": [1, 2]}, follow=True
    )

    page = response.content.decode()
    assert "harvest_collection will run in Airflow for 2 collections, a run for each." in page
    assert HOST in page
    assert "Collection 2 (2)" in page
    assert airflow.asked == []


def test_action_takes_a_hundred_collections_at_most(publisher: Client, airflow: FakeAirflow) -> None:
    Collection.objects.bulk_create(Collection(pk=pk, name=str(pk)) for pk in range(1, 102))

    response = publisher.post(
        LIST,
        {"action": "harvest_selected", "_selected_action": [1], "select_across": 1},
        follow=True,
    )

    assert "No more than 100 collections at once." in response.content.decode()


@pytest.mark.parametrize(
    "ids", ["", "x", "1,", "-1", "99999999999", "4294967296", ",".join(["1"] * 101), "1;2", "²"]
)
def test_page_of_no_collections_says_so(publisher: Client, airflow: FakeAirflow, ids: str) -> None:
    make_collection(1)
    url = reverse("admin:harvest_collection_start", args=["harvest"])

    response = publisher.get(url, {"ids": ids}, follow=True)

    assert "No such collections." in response.content.decode()


def test_page_of_no_such_action(publisher: Client) -> None:
    assert publisher.get("/admin/harvest/collection/start/delete/?ids=1").status_code == 404


def test_page_without_a_host_says_so_and_starts_nothing(publisher: Client) -> None:
    make_collection(1)
    url = start_url("harvest", [1])

    page = text_of(publisher, url)
    publisher.post(url, {"token": token_of(page), "host": HOST})

    assert "no Airflow is configured here" in page
    assert ">Start<" not in page.replace("\n", "").replace(" ", "")
    assert HarvestTrigger.objects.count() == 0


def test_page_asks_which_of_several_hosts(
    publisher: Client, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeAirflow(OTHER)
    monkeypatch.setitem(airflow_api._clients, OTHER, other.client)
    make_collection(1)

    assert f'value="{OTHER}"' in text_of(publisher, start_url("harvest", [1]))
    assert "This field is required." in start(publisher, "harvest", 1, host="")
    assert "Select a valid choice" in start(publisher, "harvest", 1, host="https://evil.example.org")
    start(publisher, "harvest", 1, host=OTHER)

    assert (len(airflow.runs), len(other.runs)) == (0, 1)


def test_publishing_offers_what_succeeded_harvests_made(publisher: Client, airflow: FakeAirflow) -> None:
    make_collection(1)
    older = f"1/vernacular_metadata_2025/{'mapped_metadata_2025/'}"
    harvest("old", older, seconds=-100)
    harvest("new", VERSION, MAPPED)
    harvest("failed", "1/vernacular_metadata_failed/", seconds=50, ends=False)
    harvest("other", "2/vernacular_metadata_other/", collection_id=2)

    page = text_of(publisher, start_url("publish", [1]))

    options = re.findall(r'<option value="([^"]*)"', page)
    assert options == [MAPPED, VERSION, older]
    assert re.search(
        f'<input[^>]*name="version_1"[^>]*value="{re.escape(MAPPED)}"|'
        f'<input[^>]*value="{re.escape(MAPPED)}"[^>]*name="version_1"',
        page,
    )


def harvest(
    run_id: str, *versions: str, seconds: float = 0, ends: bool = True, collection_id: int = 1
) -> None:
    keys: dict[str, Any] = {"dag_run_id": run_id, "dag_run_conf": {"collection_id": str(collection_id)}}
    told = [
        message(rikolti_message={"any_version": version}, seconds=seconds + index, **keys)
        for index, version in enumerate(versions)
    ]
    end = [complete(seconds=seconds + 20, **keys)] if ends else []
    recorded = recording.record([*told, *end])
    assert recorded.run_id is not None
    recording.recompute(recorded.run_id)


def test_publishing_sends_the_version(publisher: Client, airflow: FakeAirflow) -> None:
    for pk in (1, 2):
        make_collection(pk)

    start(publisher, "publish", 1, 2, version_1=MAPPED, version_2="")

    (run,) = airflow.runs.values()
    assert run["dag_id"] == "publish_collection"
    assert run["conf"] == {"collection_id": "1", "version": MAPPED}


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("", "No version is given"),
        ("2/vernacular_metadata_1/", "A version of this collection is 1/…, without spaces."),
        (f"{VERSION} x", "without spaces"),
        (f"{VERSION}é", "without spaces"),
        (f"1/{'x' * 260}", "at most 255 characters"),
    ],
)
def test_publishing_takes_no_version_that_can_not_be_meant(
    publisher: Client, airflow: FakeAirflow, version: str, why: str
) -> None:
    make_collection(1)

    assert why in start(publisher, "publish", 1, version_1=version)
    assert airflow.asked == []


def test_unpublishing_asks_for_what_is_in_production(publisher: Client, airflow: FakeAirflow) -> None:
    make_collection(1, production_target_version="an old name")

    assert 'value="an old name"' in text_of(publisher, start_url("unpublish", [1]))
    start(publisher, "unpublish", 1, version_1="an old name")

    (run,) = airflow.runs.values()
    assert (run["dag_id"], run["conf"]["version"]) == ("unpublish_collection", "an old name")


@pytest.mark.parametrize("token", ["", "0" * 15, "0" * 17, "x" * 16, f"{'0' * 16}/../1"])
def test_form_with_an_odd_token_starts_nothing(
    publisher: Client, airflow: FakeAirflow, token: str
) -> None:
    make_collection(1)

    start(publisher, "harvest", 1, token=token)

    assert airflow.asked == []
    assert HarvestTrigger.objects.count() == 0


# --- What became of it ----------------------------------------------------------------------------


def test_form_that_is_sent_twice_starts_one_run(publisher: Client, airflow: FakeAirflow) -> None:
    make_collection(1)
    url = start_url("harvest", [1])
    data = {"token": token_of(text_of(publisher, url)), "host": HOST}

    pages = [publisher.post(url, data, follow=True).content.decode() for _ in range(2)]

    assert len(airflow.runs) == HarvestTrigger.objects.count() == 1
    assert all("1 accepted" in page for page in pages)


def test_half_that_fails_says_which_and_why(publisher: Client, airflow: FakeAirflow) -> None:
    for pk in range(1, 11):
        make_collection(pk)
    airflow.answers = [Answer(403, {"detail": f"not number {number}"}) for number in range(1, 6)]

    page = start(publisher, "harvest", *range(1, 11))

    assert "5 refused, 5 accepted" in page
    for number in range(1, 6):
        assert f"status 403: not number {number}" in page
    assert "Try those again that did not start" in page


def test_those_that_did_not_start_are_sent_again_under_their_ids(
    publisher: Client, airflow: FakeAirflow
) -> None:
    for pk in (1, 2):
        make_collection(pk)
    airflow.answers = [Answer(403, {"detail": "no"}), Answer(403, {"detail": "no"})]
    url = start_url("harvest", [1, 2])
    token = token_of(text_of(publisher, url))
    started = publisher.post(url, {"token": token, "host": HOST})["Location"]

    page = publisher.post(started, follow=True).content.decode()

    assert "2 accepted" in page
    assert "Try those again" not in page
    assert {run_id for _, run_id in airflow.runs} == {
        f"manual__avram-harvest-{pk}-{token}" for pk in (1, 2)
    }


def test_those_of_a_host_that_is_gone_are_not_sent_again(
    publisher: Client, airflow: FakeAirflow
) -> None:
    run_id = f"manual__avram-harvest-1-{'0' * 16}"
    make_trigger(make_collection(1), hostname=OTHER, state="absent", dag_run_id=run_id)
    url = reverse("admin:harvest_collection_started", args=["harvest", "0" * 16])

    page = publisher.post(f"{url}?ids=1", follow=True).content.decode()

    assert f"{OTHER} is not in AIRFLOW_HOSTS" in page
    assert HarvestTrigger.objects.get().state == "absent"


def test_form_that_is_sent_again_with_another_version_is_refused(
    publisher: Client, airflow: FakeAirflow
) -> None:
    make_collection(1)
    url = start_url("publish", [1])
    data = {"token": token_of(text_of(publisher, url)), "host": HOST, "version_1": "1/a"}
    publisher.post(url, data)

    page = publisher.post(url, {**data, "version_1": "1/b"}).content.decode()

    assert "This form has been sent already, with another version: open a new one." in page
    assert len(airflow.asked) == 1


def test_host_that_is_away_is_asked_once(publisher: Client, airflow: FakeAirflow) -> None:
    for pk in (1, 2, 3):
        make_collection(pk)
    airflow.answers = [Unavailable("no answer in time")]

    page = start(publisher, "harvest", 1, 2, 3)

    assert len(airflow.asked) == 1
    assert "1 no answer: it may have started, 2 did not start" in page
    assert page.count("Not sent: the host had not answered before. Try again.") == 2


def test_outcome_of_nothing(publisher: Client) -> None:
    make_collection(1)
    url = reverse("admin:harvest_collection_started", args=["harvest", "0" * 16])

    assert "Nothing was started by this form." in text_of(publisher, f"{url}?ids=1")


def test_links_to_an_airflow_3(client: Client, airflow: FakeAirflow) -> None:
    log_in(client, *PERMISSIONS)
    airflow.client.host = Host(HOST, Kind.AIRFLOW3, url=HOST)
    make_collection(1)
    started = start(client, "harvest", 1)
    trigger = HarvestTrigger.objects.get()
    link = f'href="{HOST}/dags/harvest_collection/runs/{trigger.dag_run_id}"'

    assert link in started
    assert link in text_of(client, reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]))


def test_trigger_shows_request_answer_who_and_its_run(client: Client, airflow: FakeAirflow) -> None:
    user = log_in(client, *PERMISSIONS)
    make_collection(1)
    start(client, "harvest", 1)
    trigger = HarvestTrigger.objects.get()
    recorded = recording.record([message(dag_run_id=trigger.dag_run_id, logical_date=START.isoformat())])
    assert recorded.run_id is not None
    run = recording.recompute(recorded.run_id)
    assert run is not None

    page = text_of(client, reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]))

    assert '"collection_id": "1"' in page
    assert '"state": "queued"' in page
    assert user.username in page
    assert f"{HOST}/dags/harvest_collection/grid?dag_run_id=manual__avram-harvest-1-" in page
    assert reverse("admin:harvest_harvestrun_change", args=[run.pk]) in page
    assert reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]) in text_of(
        client, reverse("admin:harvest_harvestrun_change", args=[run.pk])
    )


def test_look_again_from_the_page(publisher: Client, airflow: FakeAirflow) -> None:
    make_collection(1)
    airflow.loses = True
    start(publisher, "harvest", 1)
    airflow.loses = False
    trigger = HarvestTrigger.objects.get()
    url = reverse("admin:harvest_harvesttrigger_look_again", args=[trigger.pk])
    assert url in text_of(publisher, reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]))

    assert publisher.get(url).status_code == 405
    response = publisher.post(url, follow=True)

    page = response.content.decode()
    assert "Now: accepted." in page
    assert url not in page


def test_look_again_at_a_host_that_is_gone(publisher: Client) -> None:
    trigger = make_trigger(make_collection(1), hostname=OTHER, state="unknown")
    url = reverse("admin:harvest_harvesttrigger_look_again", args=[trigger.pk])

    assert "is not in AIRFLOW_HOSTS" in publisher.post(url, follow=True).content.decode()


def test_look_again_at_no_trigger(publisher: Client) -> None:
    url = reverse("admin:harvest_harvesttrigger_look_again", args=[1])

    assert publisher.post(url).status_code == 404


def test_hostile_answers_are_shown_as_text(publisher: Client, airflow: FakeAirflow) -> None:
    make_collection(1, name="<script>alert(1)</script>")
    airflow.answers = [Answer(400, {"detail": "<script>alert(2)</script>"})]
    url = start_url("harvest", [1])
    data = {"token": token_of(text_of(publisher, url)), "host": HOST}

    response = publisher.post(url, data, follow=True)
    page = reverse("admin:harvest_harvesttrigger_change", args=[HarvestTrigger.objects.get().pk])

    for content in (response.content, publisher.get(page).content, publisher.get(url).content):
        assert b"<script>alert" not in content
