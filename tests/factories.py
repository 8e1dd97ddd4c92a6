"""Messages as Rikolti sends them, layer by layer, and rows of the tables.

Every argument has a default that a real message might have; a test names what it is about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from harvest.airflow import Event, parse_event
from harvest.models import Collection, HarvestRun, HarvestTrigger, Notice, Subscription
from harvest.news import Kind
from harvest.sns import SqsMessage, parse_notification
from harvest.wording import describe_test

HOST = "https://airflow.example.org"
TOPIC_ARN = "arn:aws:sns:us-west-2:123456789012:RikoltiEvents"
START = datetime(2026, 11, 24, 5, 21, 34, tzinfo=UTC)

_ids = count(1)


def airflow_event(**keys: Any) -> dict[str, Any]:
    """Layer 3: what Rikolti's publisher sends. A key given as ... is left out."""
    event = {
        "version": "1.0",
        "dag_id": "harvest_collection",
        "dag_run_id": "manual__2026-11-24T05:21:34+00:00",
        "logical_date": "2026-11-24T05:21:34+00:00",
        "dag_run_conf": {"collection_id": "27551"},
        "host": HOST,
        "task_id": "fetching.fetch_collection",
        "try_number": 1,
        "map_index": -1,
        "rikolti_message": {"vernacular_version": "27551/vernacular_metadata_2026-11-24T05:21:45/"},
        **keys,
    }
    return {key: value for key, value in event.items() if value is not ...}


def sns_body(message: Any, *, message_id: str | None = None, at: datetime = START, **keys: Any) -> str:
    """Layer 2: SNS's envelope around a message (as JSON, unless it is a str)."""
    envelope = {
        "Type": "Notification",
        "MessageId": message_id or str(UUID(int=next(_ids))),
        "TopicArn": TOPIC_ARN,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": "2",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn="
        f"{TOPIC_ARN}:c9135db0-26c4-47ec-8998-413945fb5a96",
        **keys,
    }
    return json.dumps({key: value for key, value in envelope.items() if value is not ...})


def sqs_message(body: str, *, sent_at: datetime = START, message_id: str = "") -> SqsMessage:
    """Layer 1: what ``receive_message`` returns of a body."""
    return SqsMessage(
        message_id=message_id or str(uuid4()),
        body=body,
        receipt_handle=f"handle-{next(_ids)}",
        md5_of_body=hashlib.md5(body.encode(errors="replace"), usedforsecurity=False).hexdigest(),
        sent_at=sent_at,
    )


def message(
    *, message_id: str | None = None, at: datetime = START, seconds: float = 0, **keys: Any
) -> SqsMessage:
    """All three layers: an event published so many seconds after START, or after another moment."""
    at += timedelta(seconds=seconds)
    return sqs_message(sns_body(airflow_event(**keys), message_id=message_id, at=at))


def event(**keys: Any) -> Event:
    """The same, parsed."""
    return parse_event(parse_notification(message(**keys)))


def complete(**keys: Any) -> SqsMessage:
    """A run's last event, when it went well: with the stray task that Rikolti leaves in it."""
    return message(rikolti_message={"dag_complete": True}, **keys)


def failed(**keys: Any) -> SqsMessage:
    """A run's last event, when it did not."""
    return message(
        rikolti_message={"dag_complete": False, "error": True, "reason": "task_failure"}, **keys
    )


def task_error(**keys: Any) -> SqsMessage:
    """A task that failed for good."""
    return message(
        rikolti_message={
            "error": True,
            "exception": "KeyError: 'isShownAt'\n",
            "traceback": "Traceback (most recent call last):\n  …\nKeyError: 'isShownAt'\n",
        },
        **keys,
    )


def make_collection(pk: int = 27551, **fields: Any) -> Collection:
    return Collection.objects.create(
        **{"pk": pk, "name": f"Collection {pk}", "slug": f"collection-{pk}", **fields}
    )


def make_run(**fields: Any) -> HarvestRun:
    defaults = {
        "dag_id": "harvest_collection",
        "dag_run_id": f"manual__{next(_ids)}",
        "logical_date": START,
        "host": HOST,
        "first_event_at": START,
        "last_heard_at": START,
    }
    return HarvestRun.objects.create(**{**defaults, **fields})


def fill_up_runs(number: int, fields: Callable[[int], dict[str, Any]]) -> None:
    """Make runs of many DAGs and hosts, until there are so many, with the fields that an index gives."""
    HarvestRun.objects.bulk_create(
        HarvestRun(
            dag_id=f"dag {index % (number // 50)}",
            dag_run_id=f"{index}",
            host=f"https://airflow-{index % (number // 50)}.example.org",
            **fields(index),
        )
        for index in range(HarvestRun.objects.count(), number)
    )


def make_trigger(collection: Collection, **fields: Any) -> HarvestTrigger:
    defaults = {
        "collection": collection,
        "dag_id": "harvest_collection",
        "dag_run_id": "manual__2026-11-24T05:21:34+00:00",
        "logical_date": START,
    }
    return HarvestTrigger.objects.create(**{**defaults, **fields})


def make_subscription(owner: User | None = None, **fields: Any) -> Subscription:
    defaults = {
        "name": "failures",
        "owner": owner or User.objects.create_superuser(f"owner-{next(_ids)}"),
        "kinds": [kind.value for kind in Kind],
        "channel": Subscription.Channel.MAIL,
        "address": "ada@example.org",
    }
    return Subscription.objects.create(**{**defaults, **fields})


def make_notice(subscription: Subscription, **fields: Any) -> Notice:
    at = timezone.now()
    defaults = {
        "subscription": subscription,
        "kind": "test",
        "content": describe_test(subscription.name, "https://registry.example.org/", at),
        "created_at": at,
        "due_at": at,
    }
    return Notice.objects.create(**{**defaults, **fields})
