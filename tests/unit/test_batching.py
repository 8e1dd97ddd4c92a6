from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest import batching
from harvest.airflow import RunKey
from harvest.batching import MAX_UNREADABLE, group_by_run
from harvest.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES
from harvest.sns import SqsMessage
from tests.factories import HOST, airflow_event, message, sns_body, sqs_message
from tests.unit.strategies import bodies


def grouped(*received: SqsMessage) -> list[Sequence[SqsMessage]]:
    return [batch.messages for batch in group_by_run(received)]


def sizes(batches: Sequence[Sequence[SqsMessage]]) -> list[int]:
    return [len(batch) for batch in batches]


def test_group_by_run_nothing() -> None:
    assert grouped() == []


def test_group_by_run_keeps_the_order_of_arrival() -> None:
    a1, b1, a2, b2 = (message(dag_run_id=run) for run in "abab")

    assert grouped(a1, b1, a2, b2) == [[a1, a2], [b1, b2]]


def test_group_by_run_tells_hosts_and_dags_apart() -> None:
    messages = [
        message(),
        message(host="https://other.example.org"),
        message(host=...),
        message(dag_id="publish_collection"),
    ]

    assert sizes(grouped(*messages)) == [1, 1, 1, 1]


def test_group_by_run_keeps_copies_together() -> None:
    body = sns_body(airflow_event())

    assert sizes(grouped(sqs_message(body), sqs_message(body))) == [2]


def test_group_by_run_keeps_bad_messages_from_good_ones() -> None:
    good, bad = message(), sqs_message("not JSON")

    assert grouped(bad, good, bad) == [[bad, bad], [good]]


def test_group_by_run_bounds_the_number_of_messages() -> None:
    messages = [message() for _ in range(MAX_BATCH_MESSAGES * 2 + 1)]

    assert sizes(grouped(*messages)) == [MAX_BATCH_MESSAGES, MAX_BATCH_MESSAGES, 1]


def test_group_by_run_bounds_the_bytes() -> None:
    third = message(rikolti_message={"traceback": "é" * (MAX_BATCH_BYTES // 16)})
    assert MAX_BATCH_BYTES / 3 < len(third.body.encode()) < MAX_BATCH_BYTES / 2

    assert sizes(grouped(*[third] * 5)) == [2, 2, 1]


def test_group_by_run_sends_a_large_message_alone() -> None:
    large = message(rikolti_message="x" * MAX_BATCH_BYTES)

    assert sizes(grouped(message(), large, message())) == [1, 1, 1]


def test_group_by_run_takes_surrogates_that_sqs_let_through() -> None:
    odd = sqs_message('{"odd": "\ud800", ' + json.dumps(airflow_event())[1:])

    assert grouped(odd) == [[odd]]


def test_batch_says_what_it_is_without_a_body() -> None:
    of_a_run, of_no_run = group_by_run([sqs_message("secret", message_id="4f338efd"), message()])[::-1]
    of_many = group_by_run([message(), message()])[0]

    assert str(of_a_run) == "1 message of harvest_collection manual__2026-11-24T05:21:34+00:00"
    assert str(of_many) == "2 messages of harvest_collection manual__2026-11-24T05:21:34+00:00"
    assert str(of_no_run) == "1 message of no run: 4f338efd"


def run_key(message: SqsMessage) -> RunKey | None:
    [batch] = group_by_run([message])
    return batch.key


def test_key_of_an_event() -> None:
    assert run_key(message()) == RunKey(HOST, "harvest_collection", "manual__2026-11-24T05:21:34+00:00")


@pytest.mark.parametrize("body", ["", "not JSON", "[]", sns_body({}), sns_body("x", Type="Other")])
def test_no_event_has_no_key(body: str) -> None:
    assert run_key(sqs_message(body)) is None


def test_messages_that_cannot_be_read_share_few_batches() -> None:
    unreadable = [sqs_message(f"not JSON {number}") for number in range(MAX_UNREADABLE + 1)]

    assert grouped(*unreadable) == [unreadable[:-1], unreadable[-1:]]


def test_group_by_run_survives_a_fault_of_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(message: SqsMessage) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(batching, "parse_notification", break_down)

    first, second = message(), message()
    assert grouped(first, second) == [[first], [second]]


messages = st.lists(
    st.one_of(
        st.builds(
            message,
            dag_run_id=st.sampled_from(["a", "b", "c"]),
            host=st.sampled_from([HOST, f"{HOST}/", ...]),
            rikolti_message=st.integers(0, 150_000).map("x".__mul__),
        ),
        bodies.map(sqs_message),
    ),
    max_size=12,
)


@given(messages)
@settings(max_examples=100, deadline=None)
def test_group_by_run_loses_nothing_and_mixes_nothing(received: list[SqsMessage]) -> None:
    batches = group_by_run(received)

    regrouped = [one for batch in batches for one in batch.messages]
    assert sorted(map(id, regrouped)) == sorted(map(id, received))
    for batch in batches:
        assert {run_key(one) for one in batch.messages} == {batch.key}
        if len(batch.messages) > 1:
            assert sum(len(one.body.encode()) for one in batch.messages) <= MAX_BATCH_BYTES
    for key in {run_key(one) for one in received} - {None}:
        own = [one for one in received if run_key(one) == key]
        assert [one for one in regrouped if run_key(one) == key] == own
