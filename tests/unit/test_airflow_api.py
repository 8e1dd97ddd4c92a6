"""The client, against a stand-in that speaks HTTP."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import airflow_api, limits
from harvest.airflow_api import (
    AirflowError,
    AirflowRun,
    AlreadyExists,
    Client,
    Kind,
    NotFound,
    Refused,
    TaskInstance,
    Unavailable,
)
from harvest.airflow_api.answers import Answer, checked, read_page, read_run, read_task_instance
from harvest.airflow_api.hosts import parse_hosts
from tests.airflow_server import FAULTS, PASSWORD, PASSWORD_ENV, USER, AirflowServer, say
from tests.logged import entries
from tests.sns_server import HttpServer, SnsServer, say_nothing, serve, serve_endlessly

DAG = "harvest_collection"
RUN = "manual__2026-11-24T05:21:34+00:00"
BOTH = pytest.mark.parametrize("kind", [Kind.AIRFLOW2, Kind.AIRFLOW3])


def configure(server: AirflowServer, kind: Kind = Kind.AIRFLOW2) -> Client:
    airflow_api.configure(server.hosts(kind))
    client = airflow_api.client_of(server.url)
    assert client is not None
    return client


# --- What is asked --------------------------------------------------------------------------------


@BOTH
def test_get_run(airflow_server: AirflowServer, kind: Kind) -> None:
    airflow_server.add(RUN, note="twice")

    run = configure(airflow_server, kind).get_run(DAG, RUN)

    assert run == AirflowRun(
        dag_id=DAG,
        dag_run_id=RUN,
        state="success",
        logical_date=datetime(2026, 11, 24, 5, 21, 34, tzinfo=UTC),
        start_date=datetime(2026, 11, 24, 5, 21, 35, 123456, tzinfo=UTC),
        end_date=datetime(2026, 11, 24, 5, 41, 0, 500000, tzinfo=UTC),
        conf={"collection_id": "27551"},
        note="twice",
    )


def test_get_run_without_dates_and_note(airflow_server: AirflowServer) -> None:
    airflow_server.add(RUN, "queued", logical_date=None, conf=None)

    run = configure(airflow_server).get_run(DAG, RUN)

    assert (run.logical_date, run.start_date, run.end_date) == (None, None, None)
    assert (run.conf, run.note) == ({}, "")


@BOTH
def test_get_run_that_is_not_there(airflow_server: AirflowServer, kind: Kind) -> None:
    with pytest.raises(NotFound, match="not found"):
        configure(airflow_server, kind).get_run(DAG, RUN)


def test_get_run_answered_with_another(airflow_server: AirflowServer) -> None:
    airflow_server.runs[DAG, RUN] = airflow_server.add("another")

    with pytest.raises(Unavailable, match="another run"):
        configure(airflow_server).get_run(DAG, RUN)


@pytest.mark.parametrize("name", ["..", ".", "~", "", "a/../b", "a\\b", "x/dagRuns/y"])
def test_get_run_with_a_name_that_makes_another_path(airflow_server: AirflowServer, name: str) -> None:
    client = configure(airflow_server)

    for dag_id, dag_run_id in ((name, RUN), (DAG, name)):
        with pytest.raises(Refused):
            client.get_run(dag_id, dag_run_id)

    assert airflow_server.requests == []


@pytest.mark.parametrize("name", ["a?b=c", "a#b", "%2e%2e", "ä b", "a;b", "a&b+c"])
def test_get_run_with_an_odd_name(airflow_server: AirflowServer, name: str) -> None:
    airflow_server.add(name)

    assert configure(airflow_server).get_run(DAG, name).dag_run_id == name


@BOTH
def test_list_runs_goes_through_all_pages(airflow_server: AirflowServer, kind: Kind) -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    for minute in range(25):
        airflow_server.add(f"run {minute}", start_date=(start + timedelta(minutes=minute)).isoformat())
    airflow_server.page = 10  # less than we ask for

    listed = configure(airflow_server, kind).list_runs(DAG, start, start + timedelta(minutes=23))

    assert [run.dag_run_id for run in listed] == [f"run {minute}" for minute in range(24)]
    lists = [request for request in airflow_server.requests if "/dagRuns?" in request]
    dates = ["start_date"] * 3 + ["end_date"]
    assert len(lists) == len(dates)
    for request, date in zip(lists, dates, strict=True):
        assert f"{date}_lte=2026-11-24T00:23:00+00:00" in request


@BOTH
def test_list_runs_has_each_that_started_or_ended_once(
    airflow_server: AirflowServer, kind: Kind
) -> None:
    early, late = "2026-11-24T05:00:00+00:00", "2026-11-24T06:00:00+00:00"
    airflow_server.add("in the queue", "failed", start_date=None, end_date=late)
    airflow_server.add("both", start_date=early, end_date=late)
    airflow_server.add("before", start_date="2026-11-23T05:00:00+00:00", end_date=early)
    airflow_server.add("goes on", "running", start_date=late)
    airflow_server.add("waits", "queued")
    client = configure(airflow_server, kind)

    listed = client.list_runs(
        DAG, datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    )

    assert [run.dag_run_id for run in listed] == ["both", "goes on", "before", "in the queue"]


def test_list_runs_of_a_page_with_more_than_was_asked_for(airflow_server: AirflowServer) -> None:
    runs = [airflow_server.add(f"run {number}") for number in range(150)]
    whole = Answer(200, {"dag_runs": runs, "total_entries": 150})
    rest = Answer(200, {"dag_runs": runs[100:], "total_entries": 150})
    none = Answer(200, {"dag_runs": [], "total_entries": 0})
    client = Client(next(iter(airflow_server.hosts().values())), _Answers(whole, rest, none))

    assert len(list(client.list_runs(DAG, datetime.now(UTC), datetime.now(UTC)))) == 150


def test_list_runs_leaves_out_what_can_t_be_read(
    airflow_server: AirflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    airflow_server.add("odd", start_date="2026-11-24T05:21:35 or so")
    airflow_server.add("good")

    listed = configure(airflow_server).list_runs(
        DAG, datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    )

    assert [run.dag_run_id for run in listed] == ["good"]
    assert entries(caplog, "listed_run_unreadable")


def test_list_runs_that_never_ends(airflow_server: AirflowServer) -> None:
    run = airflow_server.add("again")
    page = {"dag_runs": [run] * 100, "total_entries": limits.MAX_INTEGER}
    client = Client(next(iter(airflow_server.hosts().values())), _Answers(Answer(200, page)))

    with pytest.raises(Unavailable, match="over 20000"):
        list(client.list_runs(DAG, datetime.now(UTC), datetime.now(UTC)))


@BOTH
def test_trigger_run(airflow_server: AirflowServer, kind: Kind) -> None:
    client = configure(airflow_server, kind)
    logical_date = datetime(2026, 11, 24, 12, tzinfo=UTC)

    run = client.trigger_run(DAG, "avram__1", {"collection_id": "1"}, logical_date)

    assert (run.dag_run_id, run.state, run.logical_date) == ("avram__1", "queued", logical_date)
    assert airflow_server.runs[DAG, "avram__1"]["conf"] == {"collection_id": "1"}
    with pytest.raises(AlreadyExists, match="409"):
        client.trigger_run(DAG, "avram__1", {"collection_id": "1"}, logical_date)


def test_task_instances(airflow_server: AirflowServer) -> None:
    dates = {"start_date": "2026-11-24T05:21:35+00:00", "end_date": None}
    fetched = {"task_id": "fetch", "map_index": -1, "try_number": 2, "state": "success", **dates}
    mapped = {"task_id": "map", "map_index": 3, "try_number": 0, "state": None, **dates}
    airflow_server.add(RUN, tasks=[fetched, mapped])
    start = datetime(2026, 11, 24, 5, 21, 35, tzinfo=UTC)

    assert list(configure(airflow_server).task_instances(DAG, RUN)) == [
        TaskInstance("fetch", -1, 2, "success", start, None),
        TaskInstance("map", 3, 0, "", start, None),
    ]


def test_client_of_a_host_that_is_not_configured(airflow_server: AirflowServer) -> None:
    configure(airflow_server)

    assert airflow_api.hosts() == [airflow_server.url]
    for host in ("", f"{airflow_server.url}/", "https://airflow.example.org"):
        assert airflow_api.client_of(host) is None


# --- Tokens ---------------------------------------------------------------------------------------


def test_token_is_kept(airflow_server: AirflowServer) -> None:
    airflow_server.add(RUN)
    client = configure(airflow_server, Kind.AIRFLOW3)

    for _ in range(3):
        client.get_run(DAG, RUN)

    assert len(airflow_server.tokens) == 1


def test_token_is_renewed_when_it_ends(airflow_server: AirflowServer) -> None:
    airflow_server.add(RUN)
    client = configure(airflow_server, Kind.AIRFLOW3)
    client.get_run(DAG, RUN)
    airflow_server.tokens.clear()

    assert client.get_run(DAG, RUN).state == "success"


def test_token_that_is_never_taken_is_asked_for_once(airflow_server: AirflowServer) -> None:
    client = configure(airflow_server, Kind.AIRFLOW3)
    airflow_server.faults[RUN] = say(401, "Unauthorized")

    for tokens in (1, 2):
        with pytest.raises(Refused, match="401"):
            client.get_run(DAG, RUN)
        assert len(airflow_server.tokens) == tokens


@pytest.mark.parametrize("token", ["", "a\r\nHost: b", "x" * 10_000, None, 1])
def test_token_that_is_none(airflow_server: AirflowServer, token: object) -> None:
    airflow_server.faults["token"] = serve(json.dumps({"access_token": token}).encode(), 201)

    with pytest.raises(Unavailable, match="gives no token"):
        configure(airflow_server, Kind.AIRFLOW3).get_run(DAG, RUN)


@BOTH
def test_wrong_password_is_not_repeated(
    airflow_server: AirflowServer, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = configure(airflow_server, kind)
    monkeypatch.setenv(PASSWORD_ENV, "a wrong one")

    with pytest.raises(Refused, match="status 401") as raised:
        client.get_run(DAG, RUN)

    assert "wrong" not in str(raised.value)


@BOTH
def test_password_in_another_encoding_is_not_repeated(
    airflow_server: AirflowServer, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = configure(airflow_server, kind)
    monkeypatch.setitem(os.environb, PASSWORD_ENV.encode(), PASSWORD.encode("latin-1"))

    with pytest.raises(Refused, match="its password is no UTF-8") as raised:
        client.get_run(DAG, RUN)

    assert raised.value.__context__ is None  # which the log would have with it


def test_netrc_is_not_read(
    airflow_server: AirflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    airflow_server.add(RUN)

    assert configure(airflow_server, Kind.AIRFLOW3).get_run(DAG, RUN).state == "success"


# --- Faults ---------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_instead_of_an_answer(airflow_server: AirflowServer, kind: Kind, fault: str) -> None:
    answer, says = FAULTS[fault]
    airflow_server.faults[RUN] = answer

    with pytest.raises((Refused, Unavailable)) as raised:
        configure(airflow_server, kind).get_run(DAG, RUN)

    assert says in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "no keys"])
def test_fault_instead_of_a_token(airflow_server: AirflowServer, fault: str) -> None:
    airflow_server.faults["token"] = FAULTS[fault][0]

    with pytest.raises((Refused, Unavailable)) as raised:
        configure(airflow_server, Kind.AIRFLOW3).get_run(DAG, RUN)

    assert len(str(raised.value)) < limits.MAX_REASON


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("99999999999999", 24 * 3600), ("soon", None), ("-1", None), ("²", None)],
)
def test_retry_after(airflow_server: AirflowServer, header: str, seconds: int | None) -> None:
    airflow_server.faults[RUN] = say(429, **{"Retry-After": header.encode().decode("latin-1")})

    with pytest.raises(Unavailable) as raised:
        configure(airflow_server).get_run(DAG, RUN)

    assert raised.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_a_date(airflow_server: AirflowServer) -> None:
    airflow_server.faults[RUN] = say(503, **{"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"})

    with pytest.raises(Unavailable) as raised:
        configure(airflow_server).get_run(DAG, RUN)

    assert raised.value.retry_after == timedelta(days=1)


@pytest.mark.parametrize("hang", [say_nothing, serve_endlessly(b" ", pause=0.05)], ids=["all", "body"])
def test_answer_that_does_not_end(
    airflow_server: AirflowServer, hang: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvest.airflow_api.http.READ_SECONDS", 0.3)
    monkeypatch.setattr("harvest.airflow_api.http.BODY_SECONDS", 0.3)
    airflow_server.faults[RUN] = hang
    began = time.monotonic()

    with pytest.raises(Unavailable, match="no answer in time"):
        configure(airflow_server).get_run(DAG, RUN)

    assert time.monotonic() - began < 10


def test_nothing_listens() -> None:
    server = AirflowServer()
    server.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_ENV, PASSWORD)
        with pytest.raises(Unavailable, match="can't be asked: ConnectionError"):
            configure(server).get_run(DAG, RUN)
    airflow_api.configure({})


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A host that nobody configured: its URL, and what it is asked."""
    asked: list[str] = []

    def answer(handler: Any) -> None:
        asked.append(handler.path)
        serve(b"{}")(handler)

    server = HttpServer(answer)
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.end()


@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(
    airflow_server: AirflowServer, elsewhere: tuple[str, list[str]], kind: Kind, status: int
) -> None:
    url, asked = elsewhere
    airflow_server.faults["*"] = serve(b"", status, {"Location": f"{url}/api/v1"})

    with pytest.raises(Unavailable, match=r"redirects elsewhere|gives no token"):
        configure(airflow_server, kind).get_run(DAG, RUN)

    assert asked == []
    assert len(airflow_server.requests) == 1


def test_certificate_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    with closing(SnsServer(tmp_path, name="other.example.org")) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        keys = f'{{"kind": "airflow2", "username": "{USER}", "password_env": "{PASSWORD_ENV}"}}'
        airflow_api.configure(parse_hosts(f'{{"https://airflow.example.org": {keys}}}'))
        client = airflow_api.client_of("https://airflow.example.org")
        assert client is not None

        with pytest.raises(Unavailable, match="can't be asked: SSLError"):
            client.get_run(DAG, RUN)

        assert server.requests == []
    airflow_api.configure({})


# --- Answers --------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
run_keys = ("dag_id", "dag_run_id", "state", "logical_date", "start_date", "end_date", "conf", "note")
objects = st.dictionaries(st.sampled_from(run_keys), json_values | st.just("2026-11-24T05:21:34Z"))


@given(json_values | objects)
def test_read_run_of_anything(data: Any) -> None:
    try:
        run = read_run(data)
    except Unavailable:
        return
    assert 0 < len(run.dag_id) <= limits.MAX_ID
    assert 0 < len(run.dag_run_id) <= limits.MAX_ID
    assert 0 < len(run.state) <= limits.MAX_STATE
    assert len(run.note) <= limits.MAX_NOTE


@given(json_values)
def test_read_task_instance_and_page_of_anything(data: Any) -> None:
    for read in (
        read_task_instance,
        lambda data: read_page(checked(Answer(200, data), DAG), "dag_runs"),
    ):
        with suppress(Unavailable):
            read(data)


@given(st.integers(100, 599).filter(lambda status: not 200 <= status < 300), json_values)
def test_no_status_is_taken_for_an_answer(status: int, data: Any) -> None:
    with pytest.raises(AirflowError) as raised:
        checked(Answer(status, data), DAG)

    assert not isinstance(raised.value, NotFound)
    assert len(str(raised.value)) < 2 * limits.MAX_REASON


class _Answers:
    """A way in that gives these, the last one forever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def ask(self, *args: Any) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
