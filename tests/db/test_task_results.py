"""The pages of task results: what each task was about, and why it failed."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from harvest import taskids
from harvest.admin.results import results_of
from tests.factories import HOST, make_notice, make_run, make_subscription

pytestmark = pytest.mark.django_db

LIST = reverse("admin:django_celery_results_taskresult_changelist")
TRACEBACK = "Traceback (most recent call last):\n  …\nValueError: no such thing\n"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def make_result(name: str, args: str = "()", **fields: Any) -> TaskResult:
    """Store a result as Celery does: arguments and result as JSON strings."""
    defaults = {"task_id": uuid4().hex, "status": "SUCCESS", "task_kwargs": '"{}"', "result": "null"}
    return TaskResult.objects.create(
        task_name=f"harvest.{name}", task_args=json.dumps(args), **{**defaults, **fields}
    )


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return unescape(response.content.decode())


def page_of(result: TaskResult) -> str:
    return reverse("admin:django_celery_results_taskresult_change", args=[result.pk])


def shown(client: Client, url: str) -> set[int]:
    return {row.pk for row in client.get(url).context["cl"].result_list}


@pytest.mark.parametrize(
    ("name", "args", "fields", "linked", "said"),
    [
        ("record_event", "(3 messages of harvest_collection manual__1)", {"result": "{pk}"},
         "3 messages of harvest_collection manual__1", "run {pk}"),
        ("recompute_run_status", "({pk},)", {"result": '"run {pk}: failed"'},
         "run {pk}", "run {pk}: failed"),
        ("reconcile_run", "[{pk}]", {"status": "FAILURE", "traceback": TRACEBACK},
         "run {pk}", "ValueError: no such thing"),
    ],
)  # fmt: skip
def test_result_names_its_run(
    staff: Client, name: str, args: str, fields: dict[str, str], linked: str, said: str
) -> None:
    run = make_run()
    number = str(run.pk)
    filled = {key: value.replace("{pk}", number) for key, value in fields.items()}
    result = make_result(name, args.replace("{pk}", number), **filled)

    page = reverse("admin:harvest_harvestrun_change", args=[run.pk])
    for place in (LIST, page_of(result)):
        text = text_of(staff, place)
        assert f'<a href="{page}">{linked.replace("{pk}", number)}</a>' in text
        assert said.replace("{pk}", number) in text


def test_body_is_never_shown(staff: Client) -> None:
    """A worker is told how many messages there are. Whoever calls a task by hand may forget that."""
    result = make_result("record_event", "([{'Body': 'the secret'}],)", task_kwargs='"the secret"')

    for page in (LIST, page_of(result)):
        assert "the secret" not in text_of(staff, page)


def test_failures_are_filtered_with_the_last_line_of_the_traceback(staff: Client) -> None:
    failed = make_result("record_event", status="FAILURE", traceback=TRACEBACK)
    make_result("recompute_run_status")
    make_result("record_event", status="RETRY")

    assert shown(staff, f"{LIST}?outcome=failures") == {failed.pk}
    listed = text_of(staff, LIST)
    assert "ValueError: no such thing" in listed
    assert "most recent call last" not in listed
    assert "most recent call last" in text_of(staff, page_of(failed))


def test_notice_is_named_and_linked(staff: Client) -> None:
    notice = make_notice(make_subscription())
    result = make_result("deliver_notice", f"({notice.pk}, 0)")

    page = reverse("admin:harvest_notice_change", args=[notice.pk])
    for place in (LIST, page_of(result)):
        assert f'<a href="{page}">notice {notice.pk}, attempt 1</a>' in text_of(staff, place)


def test_other_tasks_have_no_number_without_a_word(staff: Client) -> None:
    make_result("redrive", "(7, 2)")
    make_result("replay_rejected", "([4, 5, 6],)")
    make_result(
        "backfill_window",
        f"('{HOST}', 'a_dag', '2026-11-24T05:00:00+00:00', '2026-11-25T05:00:00+00:00')",
    )

    text = text_of(staff, LIST)

    assert "redrive 7, slice 3" in text
    assert "3 rejected messages" in text
    assert "a_dag on https://airflow.example.org, from" in text
    assert '<time datetime="2026-11-25T05:00:00+00:00"' in text


def test_run_and_its_results_are_linked_both_ways(staff: Client) -> None:
    run = make_run()
    failed = make_result(
        "reconcile_run", f"({run.pk},)", task_id=taskids.for_run(run.pk), status="FAILURE"
    )
    make_result("reconcile_run", f"({run.pk},)", task_id=taskids.for_run(run.pk))
    run_page = reverse("admin:harvest_harvestrun_change", args=[run.pk])

    links = dict(
        re.findall(
            r'<a href="([^"]*taskresult/\?run=[^"]*)"[^>]*>\s*([^<]*?)\s*<', text_of(staff, run_page)
        )
    )

    to_all, to_failures = links
    assert list(links.values()) == ["Task results", "Failed task results"]
    assert len(shown(staff, to_all)) == 2
    assert shown(staff, to_failures) == {failed.pk}
    for place in (to_failures, page_of(failed)):
        assert f'href="{run_page}"' in text_of(staff, place)


def test_who_may_not_see_task_results_is_not_led_there(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_harvestrun"))
    client.force_login(viewer)

    assert "Task results" not in text_of(
        client, reverse("admin:harvest_harvestrun_change", args=[make_run().pk])
    )


def test_results_of_a_run(staff: Client) -> None:
    run, other = make_run(), make_run()
    recorded = make_result("record_event", task_id=taskids.for_messages(run.dag_id, run.dag_run_id))
    looked_at = make_result("reconcile_run", task_id=taskids.for_run(run.pk), status="FAILURE")
    make_result("reconcile_run", task_id=taskids.for_run(other.pk), status="FAILURE")
    make_result("read_queues")

    assert shown(staff, results_of(run)) == {recorded.pk, looked_at.pk}
    assert shown(staff, results_of(run, failures=True)) == {looked_at.pk}
    assert f"run {run.pk}" in text_of(staff, results_of(run))


@pytest.mark.parametrize("value", ["0", "9" * 30, "x", "", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_run_that_is_none_has_no_results(staff: Client, value: str) -> None:
    make_result("record_event")

    assert shown(staff, f"{LIST}?run={value}") == set()
