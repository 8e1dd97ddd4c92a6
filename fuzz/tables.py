"""The second stage: recording.record on a database, and the pages of what it stored.

Every body is delivered twice, in a transaction that is rolled back: it must end as one event or as
one rejected message, and the second delivery must change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fuzz import bodies, properties
from harvest import recording
from harvest.airflow import parse_event
from harvest.batching import group_by_run
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.sns import SqsMessage, parse_notification
from tests.db.test_admin_hostile import MAX_LIST, MAX_PAGE, list_url, page_url

#: Bodies whose rows are on one page of a list.
ON_A_PAGE = 40

#: Queries of any page: the session, the user, the rows, what they point to, the filters' choices; of a
#: run's page those for its tasks, errors, history and events.
MAX_QUERIES = 18


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
    """Record bodies, and look at the lists and at the pages of the newest rows."""
    with rolled_back():
        messages = [
            properties.sqs_message(bodies.decode(body), message_id=f"message {number}")
            for number, body in enumerate(hostile)
        ]
        deliver(messages)
        for model in (HarvestRun, HarvestEvent, RejectedMessage):
            check_page(client, list_url(model), MAX_LIST)
            for row in model._default_manager.order_by("-pk")[:3]:
                check_page(client, page_url(row), MAX_PAGE)
                check_page(client, page_url(row, "whole"), 10 * bodies.MAX_LENGTH)


def check_page(client: Client, url: str, max_bytes: int) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200, url
    assert len(response.content) <= max_bytes, url
    assert len(queries) <= MAX_QUERIES, f"{url}: {len(queries)} queries"


def staff() -> Client:
    """Return a browser of somebody who may see all pages."""
    client = Client()
    client.force_login(User.objects.create_superuser("fuzz"))
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
