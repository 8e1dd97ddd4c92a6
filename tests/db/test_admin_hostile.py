"""The registry's pages with what a stranger may send: no larger, and no more queries, than a bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from harvest import limits, recording
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.sns import SqsMessage
from tests import factories

pytestmark = pytest.mark.django_db

#: Bytes. A page's frame has some 30,000; a character is written as at most 6 ("&quot;"); no page
#: shows more than four texts.
MAX_PAGE = 100_000 + 4 * 6 * limits.MAX_SHOWN
MAX_LIST = 500_000

KILOBYTE, MEGABYTE = 1_000, 1_000_000

#: Close to the largest body that SQS takes, of every shape that grows when it is shown.
HUGE: dict[str, Any] = {
    "text": "x" * MEGABYTE,
    "quotes": '"' * (MEGABYTE // 4),
    "lines": "\n" * (MEGABYTE // 4),
    "word": {"word": "ab" * 50 * KILOBYTE},
    "keys": {f"key {number}": number for number in range(10_000)},
    "numbers": [1e39] * (MEGABYTE // 8),
    "nested": json.loads("[" * 60 + "[]," * (MEGABYTE // 4) + "[]" + "]" * 60),
    "error": {"error": True, "exception": "e" * 400 * KILOBYTE, "traceback": "<\n" * 100 * KILOBYTE},
    "exception-of-lines": {"error": True, "exception": "\n" * 400 * KILOBYTE + "at last"},
    "exception-that-is-none": {"error": True, "exception": 5, "reason": ["no", "text"]},
    "exception-that-is-an-object": {"error": True, "exception": {"a": "x" * 400 * KILOBYTE}},
}


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


def page_url(instance: models.Model, page: str = "change") -> str:
    url = reverse(f"admin:harvest_{instance._meta.model_name}_change", args=[instance.pk])
    return url.replace("change", page)


def list_url(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def get(client: Client, url: str) -> tuple[str, int]:
    """Return a page's text, and the number of queries that it took."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200
    return response.content.decode(), len(queries)


def record(*messages: SqsMessage) -> None:
    run_id = recording.record(list(messages)).run_id
    if run_id is not None:
        recording.recompute(run_id)


def pages(client: Client, *, of: str) -> dict[str, tuple[str, int]]:
    """Return every page of a run (or of a rejected message) and the lists: text and queries."""
    run = HarvestRun.objects.get(dag_run_id=of)
    event = run.events.earliest("pk")
    rejected = RejectedMessage.objects.latest("pk")
    urls = {
        "run": page_url(run),
        "event": page_url(event),
        "rejected": page_url(rejected),
        "runs": list_url(HarvestRun),
        "events": list_url(HarvestEvent),
        "rejected messages": list_url(RejectedMessage),
    }
    return {name: get(client, url) for name, url in urls.items()}


def assert_bounded(shown: dict[str, tuple[str, int]], usual: dict[str, tuple[str, int]]) -> None:
    for name, (text, queries) in shown.items():
        bound = MAX_PAGE if name in ("run", "event", "rejected") else MAX_LIST
        assert len(text.encode()) <= bound, name
        assert queries <= usual[name][1], name


@pytest.mark.one_database
@pytest.mark.parametrize("kind", HUGE)
def test_pages_of_a_huge_message(staff: Client, kind: str) -> None:
    rejected = factories.sqs_message("not JSON")
    record(factories.task_error(dag_run_id="usual"), rejected)
    usual = pages(staff, of="usual")
    RejectedMessage.objects.all().delete()
    body = json.dumps({"huge": HUGE[kind]})

    record(
        factories.message(dag_run_id="huge", rikolti_message=HUGE[kind], dag_run_conf=HUGE[kind]),
        factories.failed(dag_run_id="huge", seconds=5),
        factories.sqs_message(body),
    )
    HarvestRun.objects.filter(dag_run_id="usual").delete()

    assert_bounded(pages(staff, of="huge"), usual)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body",
    [
        "[" * MEGABYTE,
        "[" * 900 + "]" * 900,
        '["' + '"' * MEGABYTE,
        "1" * MEGABYTE,
        "[" + "[1]," * 200_000 + "1]",
    ],
    ids=["open", "deep", "quotes", "digits", "many"],
)
def test_pages_of_a_huge_body_that_nobody_understands(staff: Client, body: str) -> None:
    record(factories.message(dag_run_id="usual"), factories.sqs_message("not JSON"))
    usual = pages(staff, of="usual")
    RejectedMessage.objects.all().delete()

    record(factories.sqs_message(body))

    assert_bounded(pages(staff, of="usual"), usual)


def test_lists_ask_the_database_for_no_more_than_they_show(staff: Client) -> None:
    large = "x" * 100 * KILOBYTE
    for number in range(20):
        record(
            factories.message(
                dag_run_id=f"run {number}",
                dag_run_conf={"large": large},
                rikolti_message={"error": True, "exception": large, "traceback": large},
            ),
            factories.sqs_message(f"{number} {large}"),
        )

    for model in (HarvestRun, HarvestEvent, RejectedMessage):
        rows = list(staff.get(list_url(model)).context["cl"].result_list)
        assert len(rows) == 20
        for row in rows:
            related = filter(None, row._state.fields_cache.values())
            fetched = [value for loaded in (row, *related) for value in vars(loaded).values()]
            assert sum(len(str(value)) for value in fetched) < 10 * KILOBYTE


def test_dag_is_written_where_there_are_too_many_to_choose_from(staff: Client) -> None:
    for number in range(limits.MAX_CHOICES + 1):
        factories.make_run(dag_id=f"{number:04}" + "'" * (limits.MAX_ID - 4))
    last = f"{limits.MAX_CHOICES:04}" + "'" * (limits.MAX_ID - 4)

    every, _ = get(staff, list_url(HarvestRun) + "?dag_id=&status_source__exact=events")
    chosen, _ = get(staff, list_url(HarvestRun) + f"?dag_id={last}")

    assert f"?dag_id={0:04}" not in every
    assert '<input type="text" name="dag_id"' in every
    assert f"{limits.MAX_CHOICES + 1} harvest runs" in " ".join(every.split())
    assert "1 harvest run" in " ".join(chosen.split())
    assert f'value="{escape(last)}"' in chosen


def test_what_is_cut_says_so_and_can_be_had_whole(staff: Client) -> None:
    traceback = "first\n" + "x" * limits.MAX_SHOWN + "\nlast"
    conf = {"many": list(range(limits.MAX_SHOWN))}
    record(factories.message(dag_run_conf=conf, rikolti_message={"traceback": traceback}))
    record(factories.sqs_message("not JSON " + traceback))
    event = HarvestEvent.objects.get()
    rejected = RejectedMessage.objects.get()

    for instance in (event, rejected, event.harvest_run):
        text, _ = get(staff, page_url(instance))
        assert 'href="../whole/"' in text
        assert "characters are left out" in text or "Only the beginning is shown" in text
    assert "first" in get(staff, page_url(event))[0]
    assert "last</pre>" in get(staff, page_url(event))[0]

    whole = json.loads(get(staff, page_url(event, "whole"))[0])
    assert whole["rikolti_message"]["traceback"] == traceback
    assert whole["dag_run_conf"] == conf
    assert json.loads(get(staff, page_url(rejected, "whole"))[0])["body"] == "not JSON " + traceback


def test_what_is_not_cut_does_not_say_so(staff: Client) -> None:
    record(factories.task_error())

    assert "../whole/" not in get(staff, page_url(HarvestEvent.objects.get()))[0]


def test_whole_is_a_file_for_those_who_may_see_it(client: Client) -> None:
    record(factories.message(rikolti_message="<script>alert(1)</script>"))
    event = HarvestEvent.objects.get()
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)

    assert client.get(page_url(event, "whole")).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_harvestevent"))
    response = client.get(page_url(event, "whole"))

    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"] == f'attachment; filename="harvestevent-{event.pk}.json"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert client.get(page_url(event, "whole").replace(str(event.pk), "0")).status_code == 404
    client.logout()
    assert client.get(page_url(event, "whole")).status_code == 302


@pytest.mark.parametrize(
    "body", [r'["\ud83d"]', '["\ud83d"]', r'{"\udfff": 1}'], ids=["escaped", "itself", "key"]
)
def test_page_of_a_body_with_characters_that_are_no_text(staff: Client, body: str) -> None:
    record(factories.sqs_message(body))

    assert "\N{REPLACEMENT CHARACTER}" in get(staff, page_url(RejectedMessage.objects.get()))[0]
