"""The front page: numbers that lead to what they count, failures, charts, and what a person may see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from harvest import recording
from harvest.admin import front
from harvest.models import HarvestRun, QueueReading
from tests import factories
from tests.factories import make_run

pytestmark = pytest.mark.django_db

FRONT = reverse("admin:index")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def text_of(client: Client) -> str:
    response = client.get(FRONT)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_each_number_leads_to_the_list_that_it_counts(staff: Client) -> None:
    now = timezone.now()
    make_run(last_heard_at=now)
    make_run(last_heard_at=now, stale_since=now)
    make_run(last_heard_at=now, stale_since=now, lost_since=now)
    for days in (0, 3, 9):
        make_run(status="failed", last_heard_at=now - timedelta(days=days))
    recording.record([factories.sqs_message("not JSON")])

    numbers = staff.get(FRONT).context["numbers"]

    assert [number.value for number in numbers] == [3, 1, 2, 2, 1, 1]
    assert numbers[0].label == "running, 2 of them stale or lost"
    for number in numbers:
        assert len(staff.get(number.url).context["cl"].result_list) == number.value, number.label
        assert f'href="{number.url}"' in unescape(text_of(staff))


def test_failure_counts_from_the_verdict_however_old_the_events_are(staff: Client) -> None:
    now = timezone.now()
    for days in range(12):
        make_run(status="failed", last_heard_at=now - timedelta(days=days, hours=1))
    run = make_run(last_heard_at=now - timedelta(days=9))
    recording.set_status(run.pk, HarvestRun.Status.FAILED, "the machine was shut down")

    shown = staff.get(FRONT).context

    day, week = (number for number in shown["numbers"] if "failed in the last" in number.label)
    assert (day.value, week.value) == (2, 8)
    for number in (day, week):
        assert run in staff.get(number.url).context["cl"].result_list
    assert shown["failures"][0].run == run
    assert f'datetime="{now:%Y-%m-%d}' in shown["failures"][0].at


def test_quiet_is_said(staff: Client) -> None:
    make_run(status="succeeded", last_heard_at=timezone.now())
    assert "All is quiet" in text_of(staff)

    make_run(last_heard_at=timezone.now())
    assert "All is quiet" not in text_of(staff)


def test_last_failures_say_what_and_why(staff: Client) -> None:
    factories.make_collection(27551, name="Postcards")
    run_id = recording.record([factories.task_error(), factories.failed(seconds=5)]).run_id
    assert run_id is not None
    recording.recompute(run_id)
    make_run(status="failed", conf_collection_id=17)

    text = text_of(staff)

    assert (
        f'<a href="/admin/harvest/harvestrun/{run_id}/change/">Postcards (27551), harvest_collection, '
        in text
    )
    assert "KeyError: &#x27;isShownAt&#x27;" in text
    assert "17, not in the registry" in text


def test_failures_of_one_collection_have_links_that_differ(staff: Client) -> None:
    collection = factories.make_collection(27551, name="Postcards")
    now = timezone.now()
    for hours in range(3):
        make_run(collection=collection, status="failed", last_heard_at=now - timedelta(hours=hours))

    links = re.findall(r'<a href="[^"]*/harvestrun/\d+/change/">(.*?)</a>', text_of(staff))

    assert len(set(links)) == len(links) == 3
    assert all("Postcards" in link and "harvest_collection" in link for link in links)


def test_numbers_of_the_charts_lead_to_what_they_count(staff: Client) -> None:
    now = timezone.now()
    for status, days in (("failed", 0), ("failed", 0), ("succeeded", 0), ("failed", 1)):
        make_run(status=status, last_heard_at=now - timedelta(days=days))
    for queue, visible, hours in (
        ("rikolti-events", 4, 0), ("rikolti-events", 90, 1), ("rikolti-events", 700, 30),
        ("avram-tasks", 1, 0),
    ):  # fmt: skip
        QueueReading.objects.create(
            queue=queue, read_at=now - timedelta(hours=hours), visible=visible, in_flight=0
        )

    runs, depths = (
        re.findall(r'<td><a href="([^"]*)">(\d+)<span class="sr-only">(.*?)</span></a>', table)
        for table in re.findall(r"<tbody>.*?</tbody>", unescape(text_of(staff)))
    )

    assert len(runs) == 3 * front.DAYS
    for url, number, said in runs[:6]:
        assert len(staff.get(url).context["cl"].result_list) == int(number), said
    assert [number for _url, number, _said in runs[:6]] == ["1", "0", "2", "0", "0", "1"]
    found = [(n, staff.get(url).context["cl"].result_list[0].visible) for url, n, _said in depths]
    assert found == [("1", 1), ("1", 1), ("4", 4), ("90", 90)]
    said = [said for _url, _number, said in (*runs, *depths)]
    assert len(set(said)) == len(said)


def test_runs_are_charted_by_day_and_status(staff: Client) -> None:
    now = timezone.now()
    make_run(status="failed", last_heard_at=now)
    make_run(status="succeeded", last_heard_at=now - timedelta(days=29))
    make_run(status="succeeded", last_heard_at=now - timedelta(days=31))
    make_run(status="failed", last_heard_at=now + timedelta(days=2))  # by a clock that is ahead

    text = text_of(staff)

    assert "In 30 days 1 succeeded, 0 are running, 1 failed." in text
    assert f"<title>{now:%m-%d}: 1 failed</title>" in text
    day = f"{now:%Y-%m-%d}"
    assert f'?last_heard_at_from={day}&amp;last_heard_at_to={day}">{day}</a>' in text


def test_chart_reads_no_more_runs_than_a_bound(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "MOST_RUNS", 3)
    now = timezone.now()
    for days in (0, 0, 1, 2, 2):
        make_run(status="failed", last_heard_at=now - timedelta(days=days))

    text = text_of(staff)

    assert "Only days within the newest 3 runs are shown." in text
    assert re.findall(r"<title>\S+: (\d) failed", text) == ["1", "2"]


def test_runs_of_days_to_come_take_no_place_in_the_chart(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "MOST_RUNS", 3)
    make_run(status="failed", last_heard_at=timezone.now())
    for minute in range(5):
        make_run(status="failed", last_heard_at=datetime(9999, 12, 31, 23, minute, tzinfo=UTC))

    text = text_of(staff)

    assert "Only days within" not in text
    assert "In 30 days 0 succeeded, 0 are running, 1 failed." in text


def test_queues_are_charted_over_a_day(staff: Client) -> None:
    now = timezone.now()
    assert "The queues have not been read" in text_of(staff)
    for hours, visible in ((1, 4), (5, 90), (30, 700)):
        QueueReading.objects.create(
            queue="rikolti-events", read_at=now - timedelta(hours=hours), visible=visible, in_flight=0
        )

    text = text_of(staff)
    assert "rikolti-events: 4 wait, 90 at most" in text
    assert text.count("<polyline") == 2  # of the hours between the two nobody knows anything


def test_page_has_neither_inline_style_nor_script_of_ours(staff: Client) -> None:
    make_run(status="failed", last_heard_at=timezone.now())
    text = text_of(staff)
    own = text[text.index('<div class="front">') : text.index('<details class="chart-table">')]

    assert "style=" not in own
    assert "<script" not in own


def test_script_gets_the_parts_that_may_have_changed_and_uses_up_no_message(staff: Client) -> None:
    action = {"action": "recompute", "_selected_action": make_run().pk}
    staff.post(reverse("admin:harvest_harvestrun_changelist"), action)

    fresh = staff.get(FRONT, headers={"X-Live": "1"}).content.decode()

    names = re.findall(r'data-live="(\w+)"', fresh)
    assert names == ["numbers", "at", "failures", "runs", "queues"]
    assert "<html" not in fresh
    whole = text_of(staff)
    assert names == re.findall(r'data-live="(\w+)"', whole)
    assert "1 run is up to date." in whole


def test_person_sees_what_a_person_may(client: Client) -> None:
    make_run(status="failed", dag_id="secret")
    viewer = User.objects.create_user("viewer", is_staff=True)
    client.force_login(viewer)
    assert "secret" not in text_of(client)
    assert "nothing here that you may see" in text_of(client)

    viewer.user_permissions.add(Permission.objects.get(codename="view_harvestrun"))
    assert "secret" in text_of(client)
    assert "rejected messages that wait" not in text_of(client)


def test_queries_are_the_same_for_many_runs(staff: Client) -> None:
    now = timezone.now()

    def queries(number: int) -> int:
        HarvestRun.objects.bulk_create(
            HarvestRun(
                dag_id="dag",
                dag_run_id=f"{index}",
                logical_date=now,
                status=("running", "failed", "succeeded")[index % 3],
                failed_since=now if index % 3 == 1 else None,
                last_heard_at=now - timedelta(minutes=index),
            )
            for index in range(HarvestRun.objects.count(), number)
        )
        with CaptureQueriesContext(connection) as captured:
            assert "+</span>" in text_of(staff) or number < 1_000
        return len(captured)

    assert queries(100) == queries(10_000)
