"""The pages of task results: what each task was about, and why it failed."""

from __future__ import annotations

import json
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from harvest import taskids
from harvest.admin.results import results_of
from tests.factories import make_run

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
