"""The second stage: recording.record on a database, and what is made of the rows that it stored.

Every body is delivered twice, in a transaction that is rolled back: it must end as one event or as
one rejected message, and the second delivery must change nothing. Then whoever reads those rows does:
the sweep, the notices, the metrics, the pages and the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection, models, reset_queries, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fuzz import bodies, properties
from harvest import gauges, limits, reconcile, recording, telling
from harvest.airflow import parse_event
from harvest.batching import group_by_run
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.sns import SqsMessage, parse_notification
from tests import factories
from tests.db.test_admin_hostile import MAX_LIST, MAX_PAGE, list_url, page_url

#: Bodies whose rows are on one page of a list.
ON_A_PAGE = 40

#: Queries of a page: the session, the user, the rows, what they point to, the filters' choices; of a
#: run's page those for its tasks, errors, history and events.
MAX_QUERIES = 18

#: The front page asks for each of its numbers, and for its charts.
MAX_FRONT_QUERIES = 25

#: A search asks for each of its words what it may mean.
MAX_SEARCH_QUERIES = MAX_QUERIES + 10 * limits.MAX_WORDS

#: Bytes of a row as a file, and as the API answers it: an escape of JSON has 12 for a character at most.
MAX_FILE = 10 * bodies.MAX_LENGTH
MAX_ANSWER = 10_000 + 12 * bodies.MAX_LENGTH


def check(body: bytes) -> str:
    """Record one body, twice. Return properties.EVENT, or why it was refused."""
    message = properties.sqs_message(bodies.decode(body))
    with rolled_back():
        deliver([message])
        first = rows()
        assert len(first["events"]) + len(first["rejected"]) == 1, "lost, or doubled"
        deliver([message])
        assert rows() == first, "a second delivery changed something"
        connection.check_constraints()
        if first["events"]:
            check_event(message)
            return properties.EVENT
        return check_rejected(message)


def check_pages(client: Client, hostile: Sequence[bytes]) -> None:
    """Record bodies, and have the rows read by all that reads them: pages above all."""
    with rolled_back():
        messages = [
            properties.sqs_message(bodies.decode(body), message_id=f"message {number}")
            for number, body in enumerate(hostile)
        ]
        deliver(messages)
        walk(client)
        sweep()
        walk(client)
        gauges.read_tables()


def walk(client: Client) -> None:
    """Look at the front page, at the lists, and at the pages of the newest rows; and at the API."""
    cache.clear()  # the API counts in it how often one asks
    check_page(client, reverse("admin:index"), MAX_PAGE, MAX_FRONT_QUERIES)
    for model in (HarvestRun, HarvestEvent, RejectedMessage):
        check_page(client, list_url(model), MAX_LIST)
        for row in model._default_manager.order_by("-pk")[:3]:
            check_page(client, page_url(row), MAX_PAGE)
            check_page(client, page_url(row, "whole"), MAX_FILE)
    for name in ("runs", "events", "health"):
        check_page(client, reverse(f"api:{name}"), ON_A_PAGE * MAX_ANSWER)
    for run in HarvestRun.objects.order_by("-pk")[:3]:
        walk_run(client, run)
    for event in HarvestEvent.objects.order_by("-pk")[:3]:
        check_page(client, page_url(event, "message"), MAX_PAGE)
        check_page(client, reverse("api:event", args=[event.pk]), MAX_ANSWER)


def walk_run(client: Client, run: HarvestRun) -> None:
    """Look at what there is of one run besides its page, and for it by its own words."""
    for name in ("run", "run-events"):
        check_page(client, reverse(f"api:{name}", args=[run.pk]), ON_A_PAGE * MAX_ANSWER)
    check_page(client, reverse("admin:harvest_harvestrun_jsonl", args=[run.pk]), ON_A_PAGE * MAX_FILE)
    for task_id in run.events.exclude(task_id=None).values_list("task_id", flat=True).distinct()[:3]:
        asked = urlencode({"task": task_id})
        url = reverse("admin:harvest_harvestrun_task", args=[run.pk])
        check_page(client, f"{url}?{asked}", MAX_PAGE)
    for word in filter(None, (run.dag_id, run.dag_run_id, run.host, run.failure_reason)):
        for model in (HarvestRun, HarvestEvent):
            check_search(client, list_url(model), word, MAX_LIST)
        # A reason may be longer than what the API takes for a search.
        check_search(client, reverse("api:runs"), word[: limits.MAX_ID], ON_A_PAGE * MAX_ANSWER)


def check_search(client: Client, url: str, words: str, max_bytes: int) -> None:
    check_page(client, f"{url}?{urlencode({'q': words})}", max_bytes, MAX_SEARCH_QUERIES)


def sweep() -> None:
    """Look at runs that are silent, and tell a subscriber of each change."""
    tomorrow = timezone.now() + timedelta(days=1)
    for run_id in reconcile.due_runs(tomorrow):
        reconcile.look_at(run_id)
    subscribers = telling.subscribers()
    for change_id in telling.due_changes(tomorrow):
        # As if it were the day of the events: what is old is no news.
        telling.consider(change_id, factories.START, subscribers)


def check_page(client: Client, url: str, max_bytes: int, max_queries: int = 0) -> None:
    reset_queries()  # the log that they are counted by has an end
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
        content = response.getvalue()  # of a download, it is what asks
    assert response.status_code == 200, url
    assert len(content) <= max_bytes, url
    assert len(queries) <= (max_queries or MAX_QUERIES), f"{url}: {len(queries)} queries"


def staff() -> Client:
    """Return a browser of somebody who may see all pages, and is told of all news."""
    client, user = Client(), User.objects.create_superuser("fuzz")
    client.force_login(user)
    factories.make_subscription(user)
    return client


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def deliver(messages: Sequence[SqsMessage]) -> None:
    """Do with messages as the consumer and the tasks do."""
    for batch in group_by_run(messages):
        run_id = recording.record(
            [SqsMessage.from_task(message.to_task()) for message in batch.messages]
        ).run_id
        if run_id is not None:
            recording.recompute(run_id)


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return all that is stored, but for how often and when a rejected message was seen."""

    def values(model: type[models.Model]) -> list[dict[str, Any]]:
        return list(model._default_manager.order_by("pk").values())

    rejected = values(RejectedMessage)
    for row in rejected:
        del row["times_seen"], row["last_seen_at"]
    return {"runs": values(HarvestRun), "events": values(HarvestEvent), "rejected": rejected}


def check_event(message: SqsMessage) -> None:
    """What is stored is what was sent."""
    parsed, stored = parse_event(parse_notification(message)), HarvestEvent.objects.get()
    run = stored.harvest_run
    assert run.key == parsed.key
    assert run.status == parsed.outcome
    assert run.recompute_due_at is None
    for name in ("message_id", "sns_timestamp", "task_id", "try_number", "map_index", "logical_date"):
        assert getattr(stored, name) == getattr(parsed, name), name
    for name in ("rikolti_message", "dag_run_conf"):
        assert _floats(getattr(stored, name)) == _floats(getattr(parsed, name)), name


def check_rejected(message: SqsMessage) -> str:
    """What is refused is kept whole, for a reason that is none of ours."""
    rejected = RejectedMessage.objects.get()
    assert rejected.whole_body == message.body
    assert rejected.to_sqs_message() == message
    assert rejected.times_seen == 2
    assert rejected.reason != RejectedMessage.Reason.FAULT, rejected.error
    return rejected.reason


def _floats(data: Any) -> Any:
    """PostgreSQL gives back a float without a fraction as an integer."""
    return json.loads(json.dumps(data), parse_int=float)
