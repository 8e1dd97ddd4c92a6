"""The page of a run, of a task of it, and of its events: what they say, and at what cost."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models.sql.compiler import SQLCompiler
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from harvest import limits, recording, tasks
from harvest.models import HarvestEvent, HarvestRun
from harvest.sns import SqsMessage
from tests import factories
from tests.factories import START, complete, failed, make_run, message, task_error

pytestmark = pytest.mark.django_db

MAPPED = "mapping.map_page"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def recorded(*messages: SqsMessage) -> HarvestRun:
    run_id = recording.record(messages).run_id
    assert run_id is not None
    run = recording.recompute(run_id)
    assert run is not None
    return run


def url_of(run: HarvestRun, page: str = "change", query: str = "") -> str:
    return reverse(f"admin:harvest_harvestrun_{page}", args=[run.pk]) + query


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


def fill(run: HarvestRun, events: int) -> None:
    """Give a run so many events, of ten tasks: nine that are not mapped, one that is, in tens."""
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            harvest_run=run,
            message_id=f"{run.pk}-{number}",
            task_id=MAPPED if number >= 9 else f"task_{number}",
            map_index=(number - 9) % max(events // 10, 1) if number >= 9 else -1,
            try_number=1 + (number - 9) // max(events // 10, 1) if number >= 9 else 1,
            rikolti_message={"error": True, "exception": "KeyError"} if number % 4 == 0 else {"a": 1},
            error=number % 4 == 0,
            outcome="failed" if number % 4 == 0 else "running",
            sns_timestamp=START + timedelta(seconds=number),
            logical_date=START,
            recorded_at=START,
        )
        for number in range(events)
    )


# --- What it costs --------------------------------------------------------------------------------


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the rows that the database has given, in a list of one number."""
    counted = [0]
    results_iter = SQLCompiler.results_iter

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        for row in results_iter(self, *args, **kwargs):
            counted[0] += 1
            yield row

    monkeypatch.setattr(SQLCompiler, "results_iter", counting)
    return counted


@pytest.mark.parametrize("page", ["change", "task"])
def test_run_of_10_000_events_takes_no_more_queries_and_rows_than_one_of_100(
    staff: Client, rows_read: list[int], page: str
) -> None:
    costs = []
    text_of(staff, url_of(make_run()))  # which finds what the process keeps
    for events in (100, 10_000):
        run = make_run()
        fill(run, events)
        url = url_of(run, page, f"?task={MAPPED}" if page == "task" else "")
        rows_read[0] = 0
        with CaptureQueriesContext(connection) as queries:
            text_of(staff, url)
        costs.append((len(queries), rows_read[0]))

    (few_queries, few_rows), (many_queries, many_rows) = costs
    assert many_queries == few_queries
    assert few_queries <= 18
    # 100 events fill no page of 50 map indexes, nor all that is shown of attempts.
    assert many_rows <= (few_rows + limits.MAX_ERRORS if page == "change" else 2 * limits.MAX_ATTEMPTS)


def test_run_of_10_000_runs_takes_no_more_queries_than_one_of_100(
    staff: Client, rows_read: list[int]
) -> None:
    """One that publishes a version: which ones came before it is told by the other runs."""
    collection = factories.make_collection()
    run = recorded(message(dag_id="publish_collection"))
    run.target_version = "27551/vernacular_metadata_2026-11-24T05:21:45/"
    run.status = HarvestRun.Status.SUCCEEDED
    run.save()
    text_of(staff, url_of(run))  # which finds what the process keeps
    costs = []
    for number in (100, 10_000):
        factories.fill_up_runs(
            number,
            lambda index: {
                "collection": collection,
                "target_version": f"27551/{index}/",
                "status": "succeeded",
                "logical_date": START - timedelta(minutes=index),
                "last_heard_at": START - timedelta(minutes=index),
            },
        )
        rows_read[0] = 0
        with CaptureQueriesContext(connection) as queries:
            assert "In production" in text_of(staff, url_of(run))
        costs.append((len(queries), rows_read[0]))

    assert costs[0] == costs[1]


def test_page_shows_so_many_tasks_errors_and_events(staff: Client) -> None:
    run = make_run()
    HarvestEvent.objects.bulk_create(
        HarvestEvent(
            harvest_run=run,
            message_id=str(number),
            task_id=f"task_{number:03}",
            error=True,
            outcome="failed",
            sns_timestamp=START + timedelta(seconds=number),
            logical_date=START,
            recorded_at=START,
        )
        for number in range(100)
    )

    context = staff.get(url_of(run)).context

    assert [row.name for row in context["tasks"]] == [f"task_{n:03}" for n in range(limits.MAX_TASKS)]
    assert context["tasks_after"] == 2
    assert len(context["went_wrong"]) == limits.MAX_ERRORS
    assert context["more_errors"] == 100 - limits.MAX_ERRORS
    assert len(context["events"]) == limits.MAX_ROWS


def test_failed_task_comes_first_and_each_task_is_on_a_page(staff: Client) -> None:
    run = recorded(
        *(message(task_id=f"group_{number:03}.task", seconds=number) for number in range(98)),
        task_error(task_id="group_097.task", try_number=1, seconds=96),
        task_error(task_id="group_098.task", seconds=98),
        task_error(task_id="group_099.task", seconds=99),
        message(task_id="group_099.task", map_index=3, seconds=100),
    )

    first, second = (staff.get(url_of(run, query=f"?events=2&tasks={number}")) for number in (1, 2))

    names = [row.name for response in (first, second) for row in response.context["tasks"]]
    assert names[:2] == ["group_098.task", "group_099.task"]
    assert names[2:] == [f"group_{number:03}.task" for number in range(98)]
    assert 'href="?events=2&amp;tasks=2#tasks"' in first.content.decode()
    assert 'href="?events=2&amp;tasks=1#tasks"' in second.content.decode()
    assert first.content.decode().count('href="#task-1"') == 1


def test_events_are_paged(staff: Client) -> None:
    run = make_run()
    fill(run, 120)

    def page(number: str) -> list[str]:
        return [row.page for row in staff.get(url_of(run, query=f"?events={number}")).context["events"]]

    pages = [page("1"), page("2"), page("3")]

    assert [len(rows) for rows in pages] == [50, 50, 20]
    assert len({row for rows in pages for row in rows}) == 120
    assert page("x") == page("-1") == pages[0]
    assert page("4") == page("9" * 30) == []


def test_title_is_the_run_as_it_is_called_and_no_link_leads_to_an_empty_history(staff: Client) -> None:
    run = recorded(message())
    text = text_of(staff, url_of(run))

    assert re.findall(r"<h1.*?</h1>", text)[0].count(f">{run.dag_id} {run.dag_run_id}<") == 1
    assert url_of(run, "history") not in text
    assert "What became of it" in text


# --- The answer -----------------------------------------------------------------------------------


def test_page_of_a_running_run_refreshes_itself_by_its_parts(staff: Client) -> None:
    run = recorded(message())
    whole = text_of(staff, url_of(run))

    asked_again = staff.get(url_of(run), headers={"X-Live": "1"})
    fresh = asked_again.content.decode()

    assert "<html" not in fresh
    assert re.findall(r'data-live="(\w+)"', fresh) == ["answer", "errors", "tasks", "changes", "events"]
    assert re.findall(r'data-live="(\w+)"', whole) == re.findall(r'data-live="(\w+)"', fresh)
    assert 'id="live-switch"' in whole
    gone = reverse("admin:harvest_harvestrun_change", args=[run.pk + 1])
    assert staff.get(gone, headers={"X-Live": "1"}).status_code == 409
    assert 'id="live-switch"' not in text_of(staff, url_of(recorded(failed(seconds=5))))


def test_answer_says_status_why_and_who_decided(staff: Client) -> None:
    run = recorded(task_error(task_id=MAPPED, map_index=7), failed(seconds=5))

    told = staff.get(url_of(run)).context["answer"]

    assert told.why == f"{MAPPED}: KeyError: 'isShownAt'"
    assert told.since == START + timedelta(seconds=5)
    assert told.decided_by == "events: the newest decides"
    assert told.next_look is None


def test_page_of_a_failed_run_complains_of_no_form(staff: Client) -> None:
    run = recorded(task_error())

    assert "errornote" not in text_of(staff, url_of(run))


def test_run_failed_since_it_first_did(staff: Client) -> None:
    recorded(task_error())
    run = recorded(task_error(seconds=4))
    run.changes.update(changed_at=START + timedelta(seconds=1))

    assert f'Since</dt><dd><time datetime="{(START + timedelta(seconds=1)).isoformat()}"' in text_of(
        staff, url_of(run)
    )


def test_logical_date_is_in_the_zone_of_who_looks(staff: Client) -> None:
    told = text_of(staff, url_of(make_run())).partition("As it was told")[2]

    assert f'<time datetime="{START.isoformat()}"' in told


def test_running_run_says_when_it_is_looked_at(staff: Client) -> None:
    run = recorded(message())
    answered = staff.get(url_of(run)).context["answer"]
    assert answered.next_look == START + timedelta(hours=6)

    HarvestRun.objects.update(stale_since=START, look_again_at=START + timedelta(hours=9))
    answered = staff.get(url_of(run)).context["answer"]

    assert answered.next_look == START + timedelta(hours=9)
    assert "Stale" in answered.troubles[0]


def test_stale_run_says_since_when_it_runs_and_since_when_it_is_silent_and_lost(
    staff: Client,
) -> None:
    run = recorded(message())
    assert "Since</dt>" not in text_of(staff, url_of(run)).replace("Running since</dt>", "")
    stale, lost = START + timedelta(hours=7), START + timedelta(hours=8)
    HarvestRun.objects.update(stale_since=stale, lost_since=lost)

    text = text_of(staff, url_of(run))

    for word, at in (
        ("Running since", START),
        ("Stale since", stale),
        ("Lost since", lost),
    ):
        assert f'{word}</dt><dd><time datetime="{at.isoformat()}"' in text


def test_answer_of_airflow_and_its_troubles_are_shown(staff: Client) -> None:
    run = make_run(
        status="failed",
        status_source="airflow",
        status_set_at=START,
        airflow_state="failed",
        airflow_checked_at=START,
        airflow_note="<b>worker lost</b>",
        airflow_failures=3,
        airflow_error="timed out",
        lost_since=START,
        lost_reason="deleted there",
    )

    response = staff.get(url_of(run))
    text = unescape(response.content.decode())

    assert response.context["answer"].decided_by == "Airflow's answer: failed"
    assert "its answer: failed" in text
    assert "<bdi>&lt;b&gt;worker lost&lt;/b&gt;</bdi>" in response.content.decode()
    assert "3 times in a row: timed out" in text
    assert "Lost: deleted there" in text


def test_history_says_who_when_and_why(staff: Client) -> None:
    run = recorded(message())
    recording.set_status(
        run.pk, HarvestRun.Status.FAILED, "the machine was shut down", User.objects.get()
    )

    (row,) = staff.get(url_of(run)).context["changes"]

    assert (row.what, row.before, row.who) == ("failed", "running", "staff")
    assert row.note == "the machine was shut down"
    assert "UTC" in row.at


def test_repeated_decision_is_shown_and_moves_no_date(staff: Client) -> None:
    run = recorded(message())
    person = User.objects.get()
    recording.set_status(run.pk, HarvestRun.Status.SUCCEEDED, "all is there", person)
    first = run.changes.get().changed_at

    staff.post(
        url_of(run), {"initial-status": "succeeded", "status": "succeeded", "status_note": "counted"}
    )

    shown = staff.get(url_of(run)).context
    assert [(row.what, row.before, row.note) for row in shown["changes"]] == [
        ("confirmed: succeeded", "succeeded", "counted"),
        ("succeeded", "running", "all is there"),
    ]
    assert shown["answer"].since == first
    assert shown["answer"].note == "counted"


def test_failed_run_that_is_confirmed_leaves_a_line(staff: Client) -> None:
    run = recorded(failed(seconds=5))

    recording.set_status(run.pk, None, "its disk is full", User.objects.get())

    shown = staff.get(url_of(run)).context
    assert [row.note for row in shown["changes"]] == ["its disk is full", ""]
    assert shown["answer"].since == START + timedelta(seconds=5)


def test_running_run_that_is_confirmed_has_run_since_it_began(staff: Client) -> None:
    run = recorded(message())

    recording.set_status(run.pk, None, "be patient", User.objects.get())

    shown = staff.get(url_of(run)).context
    assert [row.what for row in shown["changes"]] == ["confirmed: running"]
    assert shown["answer"].since == START


# --- Tasks ----------------------------------------------------------------------------------------


def test_newest_attempt_stands_in_front_and_the_earlier_ones_stay(staff: Client) -> None:
    run = recorded(
        task_error(task_id="fetch", try_number=1),
        failed(seconds=5),
        message(task_id="fetch", try_number=2, seconds=60),
        complete(seconds=65),
    )

    context = staff.get(url_of(run)).context
    (task,) = context["tasks"]

    assert (task.instance.current.try_words, len(task.instance.earlier)) == (
        "try 2, after the run had ended",
        1,
    )
    assert task.instance.earlier[0].line == "KeyError: 'isShownAt'"
    assert {row.task: row.mended for row in context["went_wrong"]} == {
        "fetch": True,
        "(the run as a whole)": False,
    }


def test_mapped_task_is_one_row_with_counts_and_opens(staff: Client) -> None:
    events = [message(task_id=MAPPED, map_index=index, seconds=index) for index in range(60)]
    events += [task_error(task_id=MAPPED, map_index=index, seconds=70) for index in (7, 12)]
    events += [message(task_id=MAPPED, map_index=12, try_number=2, seconds=80)]
    run = recorded(*events)

    (task,) = staff.get(url_of(run)).context["tasks"]
    assert (task.instance, task.counts) == (None, "60 mapped, 1 failed")

    all_of_them = staff.get(task.mapped_page)
    assert len(all_of_them.context["instances"]) == limits.MAX_ROWS
    assert [row.map_index for row in all_of_them.context["instances"]] == list(range(50))
    assert len(all_of_them.context["instances"][12].earlier) == 2
    second = staff.get(f"{task.mapped_page}&page=2&fragment=1")
    assert [row.map_index for row in second.context["instances"]] == list(range(50, 60))
    assert "nav-sidebar" not in second.content.decode()
    (failing,) = staff.get(task.failed_page).context["instances"]
    assert (failing.map_index, failing.current.line) == (7, "KeyError: 'isShownAt'")


@pytest.mark.parametrize("query", ["", "?task=", "?task=" + "x" * 251])
def test_task_without_a_name_is_not_found(staff: Client, query: str) -> None:
    assert staff.get(url_of(make_run(), "task", query)).status_code == 404


def test_picture_leads_to_the_table_and_says_what_its_bars_are(staff: Client) -> None:
    run = recorded(
        task_error(task_id="<script>alert(1)</script>"),
        message(task_id="b", map_index=0, seconds=9),
        message(task_id="b", map_index=1, seconds=75),
    )

    text = staff.get(url_of(run)).content.decode()
    picture = text[text.index('<svg class="timeline"') : text.index("</svg>")]

    assert re.findall(r'<a href="([^"]*)" aria-label="([^"]*)">', picture) == [
        ("#task-1", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("#task-2", "b, 2 mapped"),
    ]
    assert [word for word in ("task-1", "task-2") if f'<tr id="{word}">' in text] == ["task-1", "task-2"]
    assert re.findall(r"<title>([^<]*)</title></(\w+)>", picture) == [
        ("try 1, at 0 s, failed", "rect"),
        ("an error, at 0 s", "path"),
        ("2 mapped, 9 s to 1 min 15 s", "rect"),
    ]
    assert not [word for word in ("style=", "<script", "onload") if word in picture]


@pytest.mark.parametrize("seconds", range(6))
def test_picture_of_a_run_that_goes_on_to_the_end_of_time(staff: Client, seconds: int) -> None:
    run = recorded(message(task_id="a", seconds=seconds), message(task_id="a", seconds=seconds + 1))
    run.events.filter(sns_timestamp=START + timedelta(seconds=seconds + 1)).update(
        sns_timestamp=datetime.max.replace(tzinfo=UTC)
    )

    assert '<svg class="timeline"' in text_of(staff, url_of(run))


# --- Acting ---------------------------------------------------------------------------------------


def test_status_is_set_for_a_reason_only(staff: Client) -> None:
    run = recorded(message())
    decision = {"initial-status": "running", "status": "failed"}

    without = staff.post(url_of(run), decision)
    run.refresh_from_db()
    assert (without.status_code, run.status_source) == (200, "events")
    assert "This field is required." in without.content.decode()

    staff.post(url_of(run), {**decision, "status_note": "the machine was shut down"})

    run.refresh_from_db()
    assert (run.status, run.status_note) == ("failed", "the machine was shut down")
    assert str(run.status_set_by) == "staff"
    assert staff.get(url_of(run)).context["adminform"].form["status_note"].value() == ""


def test_look_again_sends_a_task_and_says_so(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Mock()
    monkeypatch.setattr(tasks.reconcile_run, "apply_async", sent)
    run = make_run()

    response = staff.post(url_of(run, "look"), follow=True)

    sent.assert_called_once_with((run.pk,), retry=False)
    assert "A worker has been asked to look" in response.content.decode()


def test_look_again_without_a_queue_says_that_nothing_was_started(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = EndpointConnectionError(endpoint_url="https://key:secret@sqs.example.org")
    monkeypatch.setattr(tasks.reconcile_run, "apply_async", Mock(side_effect=error))

    text = staff.post(url_of(make_run(), "look"), follow=True).content.decode()

    assert "reached (EndpointConnectionError). Nothing was started" in text
    assert "secret" not in text


def test_looking_is_for_those_who_may_and_never_a_link(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_harvestrun"))
    client.force_login(viewer)
    run = recorded(message())

    assert client.get(url_of(run, "look")).status_code == 405
    assert client.post(url_of(run, "look")).status_code == 403
    text = text_of(client, url_of(run))
    assert "Look again now" not in text
    assert "Download the events" in text
    assert 'name="status_note"' not in text


def test_events_are_downloaded_as_json_lines_oldest_first(staff: Client) -> None:
    run = recorded(complete(seconds=9), message(rikolti_message={"a": "é"}), task_error(seconds=5))

    response = staff.get(url_of(run, "jsonl"))
    lines = b"".join(response).decode().splitlines()

    assert response["Content-Disposition"] == f'attachment; filename="harvestrun-{run.pk}-events.jsonl"'
    events = [json.loads(line) for line in lines]
    assert [event["dag_level"] for event in events] == [False, False, True]
    assert events[0]["rikolti_message"] == {"a": "é"}
    assert events[0]["sns_message"]["Type"] == "Notification"


@pytest.mark.parametrize("page", ["jsonl", "task"])
def test_parts_of_a_run_are_for_those_who_may_see_it(client: Client, page: str) -> None:
    run = make_run()
    assert client.get(url_of(run, page, "?task=x")).status_code == 302
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    assert client.get(url_of(run, page, "?task=x")).status_code == 403


# --- Events ---------------------------------------------------------------------------------------


def test_event_names_its_neighbours_by_the_order_of_the_status_rule(staff: Client) -> None:
    run = recorded(
        message(task_id="a"),
        message(task_id="b", seconds=1, message_id="1"),
        message(task_id="c", seconds=1, message_id="2"),
        complete(seconds=1, message_id="0"),
    )
    in_order = list(run.events.order_by("sns_timestamp", "dag_level", "message_id"))

    for number, event in enumerate(in_order):
        text = staff.get(reverse("admin:harvest_harvestevent_change", args=[event.pk])).content.decode()
        beside = in_order[max(number - 1, 0) : number] + in_order[number + 1 : number + 2]
        for other in set(in_order) - {event}:
            linked = reverse("admin:harvest_harvestevent_change", args=[other.pk]) in text
            assert linked is (other in beside)


def test_what_opens_is_the_message_with_the_last_line_first(staff: Client) -> None:
    event = recorded(task_error()).events.get()

    response = staff.get(reverse("admin:harvest_harvestevent_message", args=[event.pk]))
    text = unescape(response.content.decode())

    assert text.index('class="last-line"') < text.index("Traceback (most recent call last)")
    assert "<html" not in text


def test_large_message_that_opens_is_cut_and_links_to_the_whole(staff: Client) -> None:
    event = recorded(message(rikolti_message={"many": list(range(100_000))})).events.get()

    text = staff.get(reverse("admin:harvest_harvestevent_message", args=[event.pk])).content.decode()

    assert f'href="/admin/harvest/harvestevent/{event.pk}/whole/"' in text
    assert text.count("<li>") <= limits.MAX_NODES + 10


def test_message_is_for_those_who_may_see_events(client: Client) -> None:
    event = recorded(message()).events.get()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    url = reverse("admin:harvest_harvestevent_message", args=[event.pk])
    assert client.get(url).status_code == 403


def test_run_that_sent_nothing_has_a_page(staff: Client) -> None:
    run = make_run(first_event_at=None, last_heard_at=timezone.now())

    text = text_of(staff, url_of(run))

    assert "it has sent nothing" in text
    assert "timeline" not in text


def test_collection_and_trigger_are_linked(staff: Client) -> None:
    trigger = factories.make_trigger(factories.make_collection(name="Postcards"))
    run = recorded(message())

    text = text_of(staff, url_of(run))

    assert "Postcards (27551)" in text
    assert reverse("admin:harvest_harvesttrigger_change", args=[trigger.pk]) in text


def test_run_that_was_heard_when_time_ends_has_a_page(staff: Client) -> None:
    run = factories.make_run(last_heard_at=datetime(9999, 12, 31, 23, 30, tzinfo=UTC))

    assert "by its events it is never silent" in text_of(staff, url_of(run))
