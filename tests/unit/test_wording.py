"""What notices say, whatever the names and errors in them are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given

from harvest import wording
from harvest.news import Kind
from harvest.wording import Report
from tests.unit.strategies import any_text

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RUN_URL = "https://registry.example.org/admin/harvest/harvestrun/7/change/"
REPORT = Report(
    kind=Kind.FAILED,
    run_id=7,
    dag_id="harvest_collection",
    dag_run_id="manual__2026-11-24T11:00:00+00:00",
    logical_date=NOON,
    host="https://airflow.example.org",
    collection_id=27551,
    collection="Sunset magazine",
    status="failed",
    status_source="events",
    since=NOON,
    why="KeyError: 'isShownAt'",
    run_url=RUN_URL,
    airflow_url="https://airflow.example.org/dags/harvest_collection/grid",
)


def test_mail_has_the_answer_first_and_a_link() -> None:
    subject, text = wording.mail(wording.describe(REPORT, NOON))

    assert subject == "Harvest failed: Sunset magazine (27551), harvest_collection"
    assert text.splitlines()[:3] == [subject, "", "Why: KeyError: 'isShownAt'"]
    assert RUN_URL in text.splitlines()


def test_webhook_has_type_data_and_a_text_for_slack() -> None:
    content = wording.describe(REPORT, NOON)

    assert content["type"] == "harvest.failed"
    assert content["timestamp"] == "2026-11-24T12:00:00+00:00"
    assert content["data"]["collection_id"] == 27551
    assert content["text"].splitlines() == [
        "Harvest failed: Sunset magazine (27551), harvest_collection",
        "KeyError: 'isShownAt'",
        f"<{RUN_URL}|Open the run>",
    ]


def test_run_without_collection_is_named_by_its_ids() -> None:
    content = wording.describe(replace(REPORT, collection_id=None, collection=""), NOON)

    assert content["data"]["title"] == (
        "Harvest failed: harvest_collection, manual__2026-11-24T11:00:00+00:00"
    )


def test_slack_is_made_to_call_nobody() -> None:
    content = wording.describe(replace(REPORT, why="<!channel> & <https://evil.example|us>"), NOON)

    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|us&gt;" in content["text"]


@given(any_text, any_text, any_text)
def test_strangers_text_adds_no_line(name: str, why: str, dag_run_id: str) -> None:
    report = replace(REPORT, collection=name, why=why, dag_run_id=dag_run_id)
    plain_content = wording.describe(replace(REPORT, collection="a", why="b", dag_run_id="c"), NOON)

    subject, text = wording.mail(wording.describe(report, NOON))

    assert subject.isprintable()
    assert len(text.splitlines()) <= len(wording.mail(plain_content)[1].splitlines())


def test_long_text_is_cut() -> None:
    report = replace(REPORT, collection="x" * 100_000, why="y" * 100_000)

    subject, text = wording.mail(wording.describe(report, NOON))

    assert len(subject) == wording.MAX_SUBJECT
    assert len(text) < 2_000


@pytest.mark.parametrize("name", ["mine", "two\r\nBcc: all@example.org"])
def test_test_says_that_it_is_one(name: str) -> None:
    subject, text = wording.mail(wording.describe_test(name, RUN_URL, NOON))

    assert subject.startswith("A test of the subscription ")
    assert subject.isprintable()
    assert RUN_URL in text
