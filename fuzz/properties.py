"""What must be true of any message, whatever is in it. Pure: no Django, no database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from harvest import limits
from harvest.airflow import Event, find_collection_id, parse_event
from harvest.airflowpages import is_web_address, log_page, run_page
from harvest.batching import group_by_run
from harvest.errors import Malformed, MalformedMessage
from harvest.sns import SqsMessage, parse_notification, publication_id
from harvest.status import run_status
from harvest.strictjson import is_storable

EVENT = "event"


def sqs_message(body: str, message_id: str = "4f338efd-f168-4372-b780-b8479b18105d") -> SqsMessage:
    return SqsMessage(message_id, body, "handle", "md5", datetime(2026, 11, 24, 5, 21, 34, tzinfo=UTC))


def _plain(run: str) -> SqsMessage:
    body = {"dag_id": "harvest_collection", "dag_run_id": run, "logical_date": "2026-11-24T05:21:34Z"}
    return sqs_message(json.dumps(body))


#: What it is received with.
OTHERS = (_plain("one"), _plain("two"), _plain("one"), sqs_message("nonsense"))


def check(message: SqsMessage) -> str:
    """Hold a message against all that is promised. Return EVENT, or why it was refused.

    Raises:
        AssertionError: a promise is broken. So does any other exception say, as it is raised.
    """
    event = refusal = None
    try:
        event = parse_event(parse_notification(message))
    except MalformedMessage as error:
        refusal = error
    assert publication_id(message)
    check_task(message)
    check_batches(message, event)
    if event is not None:
        check_event(event)
        return EVENT
    assert refusal is not None
    assert 0 < len(refusal.detail) <= 2 * limits.MAX_QUOTED
    return Malformed(refusal.reason).value


def check_event(event: Event) -> None:
    """An event fits its columns, and can be stored, ordered and shown."""
    for text, longest in (
        (event.message_id, limits.MAX_MESSAGE_ID),
        (event.key.dag_id, limits.MAX_ID),
        (event.key.dag_run_id, limits.MAX_ID),
        (event.task_id or "-", limits.MAX_ID),
        (event.key.host or "-", limits.MAX_HOST),
    ):
        assert 0 < len(text) <= longest
        assert is_storable(text)
    assert event.key.host.isascii()
    for number in (event.try_number, event.map_index):
        assert number is None or (type(number) is int and abs(number) <= limits.MAX_INTEGER)
    assert event.collection_id is None or 0 < event.collection_id <= limits.MAX_INTEGER
    assert event.collection_id == find_collection_id(event.dag_run_conf)
    for moment in (event.sns_timestamp, event.logical_date):
        assert moment.utcoffset() == timedelta(0)
    for data in (event.rikolti_message, event.dag_run_conf, dict(event.envelope)):
        check_data(data)
    if event.dag_level:
        assert (event.task_id, event.try_number, event.map_index) == (None, None, None)
    assert run_status([event]) == event.outcome
    for version in (2, 3):
        check_address(event, run_page(event.key, version))
        check_address(event, log_page(event.key, event.task_id or "-", event.map_index, version))


def check_data(data: Any) -> None:
    """Data is what every database stores as JSON, and any reader reads."""
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert _depth(data) <= limits.MAX_DEPTH
    for leaf in _leaves(data):
        if isinstance(leaf, str):
            assert is_storable(leaf)
        elif isinstance(leaf, float):
            assert leaf == 0 or limits.MIN_FLOAT <= abs(leaf) < limits.MAX_FLOAT
        elif leaf is not None:
            assert abs(leaf) < 10**limits.MAX_DIGITS


def check_address(event: Event, page: str | None) -> None:
    """What becomes a link is a web address of the host that the event names, and nothing else."""
    if page is None:
        assert not is_web_address(event.key.host)
        return
    assert page.startswith(f"{event.key.host}/dags/")
    assert page.lower().startswith(("http://", "https://"))
    assert page.isascii()
    assert page.isprintable()
    assert not set(page) & set(" \"'<>\\")


def check_task(message: SqsMessage) -> None:
    """A message survives its way through the task queue, character for character."""
    assert SqsMessage.from_task(json.loads(json.dumps(message.to_task()))) == message


def check_batches(message: SqsMessage, event: Event | None) -> None:
    """Of what is received together nothing is lost and nothing doubled, and each run is by itself."""
    batches = group_by_run([*OTHERS, message])
    grouped = sorted(id(one) for batch in batches for one in batch.messages)
    assert grouped == sorted(map(id, (*OTHERS, message)))
    [own] = [batch for batch in batches if any(one is message for one in batch.messages)]
    assert own.key == (event.key if event else None)
    assert "\n" not in str(own) or (event and "\n" in event.key.dag_id + event.key.dag_run_id)


def _depth(data: Any) -> int:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _leaves(data: Any) -> Iterator[Any]:
    """Yield all that holds nothing else, keys among it."""
    if isinstance(data, dict):
        yield from data
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _leaves(item)
    else:
        yield data
