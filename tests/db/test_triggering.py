"""Starting runs in Airflow: every answer, none, and the same form sent twice."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from harvest import airflow_api, recording, triggering
from harvest.airflow_api import Unavailable
from harvest.airflow_api.answers import Answer
from harvest.airflow_api.hosts import Kind
from harvest.models import Collection, HarvestRun, HarvestTrigger
from harvest.reconcile import look_at
from harvest.triggering import NotConfigured, Order, SentAlready, look_again, send_again, trigger
from tests.airflow_server import FAULTS, PASSWORD, AirflowServer
from tests.db.test_concurrency import at_once
from tests.factories import HOST, make_collection, make_trigger, message
from tests.fake_airflow import FakeAirflow

pytestmark = pytest.mark.django_db

State = HarvestTrigger.State
TOKEN = "0123456789abcdef"
RUN_ID = f"manual__avram-harvest-1-{TOKEN}"
TIMEOUT = Unavailable("no answer in time")
FORBIDDEN = Answer(403, {"detail": "You need the permission\nto edit this DAG"})


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    fake = FakeAirflow()
    monkeypatch.setitem(airflow_api._clients, HOST, fake.client)
    return fake


def harvest(*collection_ids: int, token: str = TOKEN) -> list[HarvestTrigger]:
    for pk in collection_ids:
        if not HarvestTrigger.objects.filter(collection=pk).exists():
            make_collection(pk)
    return trigger("harvest", [Order(pk) for pk in collection_ids], HOST, token, None)


def test_trigger_starts_a_run(airflow: FakeAirflow) -> None:
    make_collection(1)
    user, before = User.objects.create(username="ada"), timezone.now()

    (made,) = trigger("publish", [Order(1, "1/vernacular_metadata_1/")], HOST, TOKEN, user)

    run = airflow.runs["publish_collection", f"manual__avram-publish-1-{TOKEN}"]
    assert run["conf"] == {"collection_id": "1", "version": "1/vernacular_metadata_1/"}
    assert run["logical_date"] == made.logical_date.isoformat()
    assert before - timedelta(seconds=1) < made.logical_date < timezone.now()
    assert (made.state, made.user, made.hostname) == (State.ACCEPTED, user, HOST)
    assert made.dag_run_conf == run["conf"]
    assert json.loads(made.stdout)["state"] == "queued"
    assert made.stderr == ""


def test_trigger_is_stored_before_it_is_sent(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*args: object) -> None:
        assert HarvestTrigger.objects.get().state == State.SENT
        raise Killed

    monkeypatch.setattr(airflow, "ask", die)

    with pytest.raises(Killed):
        harvest(1)

    assert HarvestTrigger.objects.get().dag_run_id == RUN_ID


def test_trigger_of_a_form_that_is_sent_twice_starts_one_run(airflow: FakeAirflow) -> None:
    assert harvest(1, 2) == harvest(1, 2)

    assert len(airflow.asked) == len(airflow.runs) == HarvestTrigger.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_trigger_of_a_form_that_is_sent_several_times_at_once(airflow: FakeAirflow) -> None:
    collections = [make_collection(pk).pk for pk in range(1, 6)]
    orders = [Order(pk) for pk in collections]

    def send() -> list[HarvestTrigger]:
        return trigger("harvest", orders, HOST, TOKEN, None)

    at_once(send, send, send)

    assert len(airflow.asked) == len(airflow.runs) == HarvestTrigger.objects.count() == 5
    assert set(HarvestTrigger.objects.values_list("state", flat=True)) == {State.ACCEPTED}


def test_trigger_of_another_form_starts_another_run(airflow: FakeAirflow) -> None:
    harvest(1)
    harvest(1, token=triggering.make_token())

    assert len(airflow.runs) == 2


def test_trigger_gives_each_run_a_date_of_its_own(airflow: FakeAirflow) -> None:
    harvest(*range(1, 101))

    assert len({run["logical_date"] for run in airflow.runs.values()}) == 100


def test_trigger_says_which_failed_and_why(airflow: FakeAirflow) -> None:
    good = Answer(200, {"dag_id": "harvest_collection", "dag_run_id": RUN_ID, "state": "queued"})
    airflow.answers = [good, FORBIDDEN, Answer(404, {"detail": "DAG harvest_collection not found"})]

    triggers = harvest(1, 2, 3, 4)

    assert [made.state for made in triggers] == ["accepted", "refused", "refused", "accepted"]
    assert triggers[1].stderr == "status 403: You need the permission to edit this DAG"
    assert triggers[2].stderr == "DAG harvest_collection not found"


def test_trigger_stops_where_the_host_does_not_answer(airflow: FakeAirflow) -> None:
    airflow.answers = [TIMEOUT]

    triggers = harvest(1, 2, 3)

    assert len(airflow.asked) == 1
    assert [made.state for made in triggers] == ["unknown", "absent", "absent"]
    assert triggers[0].stderr == "no answer in time"
    assert triggers[1].stderr.startswith("Not sent: the host had not answered")


def test_trigger_stops_when_the_time_is_up(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggering, "SECONDS", -1)

    triggers = harvest(1, 2)

    assert airflow.asked == []
    assert [made.state for made in triggers] == ["absent", "absent"]
    assert triggers[0].stderr.startswith("Not sent: the others had taken too long")


def test_trigger_whose_run_is_there_already_is_accepted(airflow: FakeAirflow) -> None:
    airflow.runs["harvest_collection", RUN_ID] = {
        "dag_id": "harvest_collection",
        "dag_run_id": RUN_ID,
        "logical_date": None,
        "state": "running",
    }

    (made,) = harvest(1)

    assert made.state == State.ACCEPTED
    assert json.loads(made.stdout)["state"] == "running"


def test_trigger_whose_date_another_run_has_did_not_start(airflow: FakeAirflow) -> None:
    airflow.answers = [Answer(409, {"detail": "DAGRun logical date already exists"})]

    (made,) = harvest(1)

    assert made.state == State.ABSENT
    assert made.stderr == "status 409: DAGRun logical date already exists"


def test_trigger_that_exists_by_an_answer_that_can_not_be_checked(airflow: FakeAirflow) -> None:
    airflow.answers = [Answer(409), TIMEOUT]

    (made,) = harvest(1)

    assert made.state == State.UNKNOWN


def test_trigger_whose_event_comes_before_its_answer_is_accepted(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*args: object) -> Answer:
        run_id = recording.record([message(dag_run_id=RUN_ID)]).run_id
        assert run_id is not None
        recording.recompute(run_id)
        raise TIMEOUT

    monkeypatch.setattr(airflow, "ask", ask)

    (made,) = harvest(1)

    assert made.state == State.ACCEPTED
    assert HarvestRun.objects.get().harvest_trigger == made


def test_trigger_bounds_what_airflow_says(airflow: FakeAirflow) -> None:
    airflow.answers = [Answer(400, {"detail": "no " * 100_000})]

    (made,) = harvest(1)

    assert made.state == State.REFUSED
    assert len(made.stderr) < 1_000


def test_trigger_asks_no_host_that_is_not_configured(airflow: FakeAirflow) -> None:
    make_collection(1)

    with pytest.raises(NotConfigured):
        trigger("harvest", [Order(1)], "https://evil.example.org", TOKEN, None)

    assert HarvestTrigger.objects.count() == 0


@pytest.mark.parametrize("token", ["", "x" * 16, f"{TOKEN}\n", "/../" * 4])
def test_trigger_takes_no_other_token(airflow: FakeAirflow, token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        trigger("harvest", [Order(1)], HOST, token, None)


def test_trigger_takes_a_hundred_at_most(airflow: FakeAirflow) -> None:
    with pytest.raises(ValueError, match="101 orders"):
        trigger("harvest", [Order(pk) for pk in range(101)], HOST, TOKEN, None)


def test_trigger_of_a_form_that_is_sent_with_another_version_is_refused(airflow: FakeAirflow) -> None:
    for pk in (1, 2):
        make_collection(pk)
    trigger("publish", [Order(1, "1/a")], HOST, TOKEN, None)

    with pytest.raises(SentAlready):
        trigger("publish", [Order(2, "2/a"), Order(1, "1/b")], HOST, TOKEN, None)

    assert HarvestTrigger.objects.get().dag_run_conf["version"] == "1/a"
    assert len(airflow.asked) == 1


# --- Once more ------------------------------------------------------------------------------------


def test_send_again_finds_the_run_of_a_request_that_came_late(airflow: FakeAirflow) -> None:
    airflow.answers = [TIMEOUT]
    (made,) = harvest(1)
    look_again(made)
    assert made.state == State.ABSENT
    late = {"dag_id": made.dag_id, "dag_run_id": made.dag_run_id, "logical_date": "2026-11-24T05:00:00Z"}
    airflow.runs[made.dag_id, made.dag_run_id] = {**late, "state": "running"}

    send_again([made])

    assert len(airflow.runs) == 1
    assert made.state == State.ACCEPTED
    assert json.loads(made.stdout)["state"] == "running"


def test_send_again_sends_what_did_not_start_and_nothing_else(airflow: FakeAirflow) -> None:
    airflow.answers = [FORBIDDEN, TIMEOUT]
    triggers = harvest(1, 2, 3)
    dates = [made.logical_date for made in triggers]

    send_again(triggers)

    assert [made.state for made in triggers] == [State.ACCEPTED, State.UNKNOWN, State.ACCEPTED]
    assert [made.stderr for made in triggers] == ["", "no answer in time", ""]
    assert {run_id for _, run_id in airflow.runs} == {triggers[0].dag_run_id, triggers[2].dag_run_id}
    assert triggers[0].logical_date > dates[0]  # which another run may have had


def test_send_again_stops_where_the_host_does_not_answer(airflow: FakeAirflow) -> None:
    airflow.answers = [FORBIDDEN, FORBIDDEN, TIMEOUT]
    triggers = harvest(1, 2)

    send_again(triggers)

    assert [made.state for made in triggers] == [State.UNKNOWN, State.REFUSED]


@pytest.mark.django_db(transaction=True)
def test_send_again_twice_at_once_sends_once(airflow: FakeAirflow) -> None:
    airflow.answers = [FORBIDDEN]
    harvest(1)

    def send() -> None:
        send_again([HarvestTrigger.objects.get()])

    at_once(send, send, send)

    assert len(airflow.asked) == 2
    assert HarvestTrigger.objects.get().state == State.ACCEPTED


# --- Another look ---------------------------------------------------------------------------------


def test_look_again_finds_the_run_whose_answer_was_lost(airflow: FakeAirflow) -> None:
    airflow.loses = True
    (made,) = harvest(1)
    assert made.state == State.UNKNOWN
    airflow.loses = False

    look_again(made)

    assert made.state == State.ACCEPTED
    assert made.stderr == ""


def test_look_again_finds_no_run(airflow: FakeAirflow) -> None:
    airflow.answers = [TIMEOUT]
    (made,) = harvest(1)

    look_again(made)

    assert made.state == State.ABSENT
    assert made.stderr == "Airflow knows no such run."


@pytest.mark.parametrize("answer", [TIMEOUT, FORBIDDEN, Answer(404, {"detail": "no such page"})])
@pytest.mark.parametrize("state", ["unknown", "absent"])
def test_look_again_without_an_answer_learns_nothing(
    airflow: FakeAirflow, answer: Answer | Exception, state: str
) -> None:
    made = make_trigger(make_collection(1), hostname=HOST, state=state)
    airflow.answers = [answer]

    look_again(made)

    assert made.state == state
    assert made.stderr


def test_look_again_at_a_host_that_is_not_configured_any_more() -> None:
    made = make_trigger(make_collection(1), hostname="https://gone.example.org", state="unknown")

    with pytest.raises(NotConfigured):
        look_again(made)


# --- Through HTTP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])
def test_trigger_starts_a_run_that_is_linked(airflow_server: AirflowServer, kind: Kind) -> None:
    airflow_api.configure(airflow_server.hosts(kind, HOST))
    (made,) = harvest(1)

    run = airflow_server.runs["harvest_collection", RUN_ID]
    keys = ("dag_id", "dag_run_id", "logical_date")
    recorded = recording.record([message(**{key: run[key] for key in keys}, dag_run_conf=run["conf"])])

    assert made.state == State.ACCEPTED
    assert recorded.run_id is not None
    linked = recording.recompute(recorded.run_id)
    assert linked is not None
    assert (linked.harvest_trigger, linked.collection_id) == (made, 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_trigger_of_a_host_that_is_broken_says_so(airflow_server: AirflowServer, fault: str) -> None:
    airflow_api.configure(airflow_server.hosts(address=HOST))
    airflow_server.faults["*"], why = FAULTS[fault]

    (made,) = harvest(1)

    assert made.state == (State.REFUSED if fault in ("401", "403") else State.UNKNOWN)
    assert why in made.stderr
    assert PASSWORD not in made.stderr


def test_trigger_of_which_only_airflow_tells_is_linked(airflow_server: AirflowServer) -> None:
    airflow_api.configure(airflow_server.hosts(address=HOST))
    make_collection(1)
    (made,) = trigger("publish", [Order(1, "1/vernacular_metadata_1/")], HOST, TOKEN, None)
    client = airflow_api.client_of(HOST)
    assert client is not None

    listed = client.get_run(made.dag_id, made.dag_run_id)
    run = recording.record_listed(HOST, listed, timezone.now())
    look_at(run.pk)

    run.refresh_from_db()
    assert (run.harvest_trigger, run.collection_id) == (made, 1)
    assert Collection.objects.get().production_target_version == "1/vernacular_metadata_1/"
