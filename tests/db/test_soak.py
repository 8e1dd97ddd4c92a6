"""What `make soak` says of the tables."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from bench.soak import tables
from harvest import tasks
from harvest.models import HarvestEvent, HarvestRun
from tests.factories import START, complete, message, sqs_message

pytestmark = pytest.mark.django_db

PUBLISHED = {"runs": 1, "events": 2, "rejected": 1, "failures": 0}


@pytest.fixture
def run() -> HarvestRun:
    """A run of two events that has ended well, beside a message that nobody understands."""
    run_id = tasks.record_event([message().to_task(), complete(seconds=1).to_task()])
    tasks.recompute_run_status(run_id)
    tasks.record_event([sqs_message("not JSON").to_task()])
    return HarvestRun.objects.get()


def missed() -> list[str]:
    return [figure.name for figure in tables.figures(PUBLISHED) if figure.met is False]


def test_tables_that_hold_what_was_published(run: HarvestRun) -> None:
    assert missed() == []


def test_event_that_is_missing(run: HarvestRun) -> None:
    HarvestEvent.objects.filter(dag_level=False).delete()

    assert missed() == ["tables: events too few or too many"]


def test_status_that_is_not_the_rules(run: HarvestRun) -> None:
    HarvestRun.objects.update(status="failed", failed_since=START)

    assert missed() == ["tables: runs whose status is not the rule's"]
    assert tables.wrong_statuses() == [f"run {run.pk} is failed, by the rule succeeded"]


def test_silent_run_that_no_sweep_found(run: HarvestRun) -> None:
    HarvestEvent.objects.filter(dag_level=True).delete()
    long_ago = timezone.now() - timedelta(days=1)
    HarvestRun.objects.update(status="running", last_heard_at=long_ago)

    assert "tables: silent runs that are not stale" in missed()
