"""Notices on the real wire: what workers send, by the mail's own way out."""

from __future__ import annotations

import email
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from harvest.models import HarvestRun, Notice, RunChange
from harvest.tasks import tell
from tests import factories
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import all_done, assert_calm
from tests.broker.wire import Wire


def test_thousand_copies_of_a_failure_are_one_mail(
    processes: Processes, wire: Wire, tmp_path: Path
) -> None:
    factories.make_subscription(address="ada@example.org")
    factories.make_collection(27551, name="Postcards")
    worker = processes.worker(EMAIL_URL=f"filemail:///{tmp_path}")
    error = {"error": True, "exception": "KeyError('isShownAt')", "traceback": "KeyError: 'isShownAt'"}
    event = factories.airflow_event(task_id="map", rikolti_message=error)
    failure = factories.sns_body(event, message_id="once", at=timezone.now())

    wire.send([failure] * 500)
    wait_until(HarvestRun.objects.filter(status="failed").exists, "a failed run")
    # A minute later: people are told of what has stood for one.
    RunChange.objects.update(changed_at=timezone.now() - timedelta(minutes=2))
    for _ in range(3):
        tell.delay()
    wait_until(Notice.objects.filter(state=Notice.State.SENT).exists, "the notice")
    wire.send([failure] * 500)
    tell.delay()
    wait_until(lambda: all_done(wire), "empty queues")

    (file,) = tmp_path.iterdir()
    mail = email.message_from_bytes(file.read_bytes())
    assert mail["To"] == "ada@example.org"
    assert mail["Subject"] == "Harvest failed: Postcards (27551), harvest_collection"
    assert "Why: KeyError('isShownAt')" in mail.get_payload()
    assert Notice.objects.count() == 1
    assert HarvestRun.objects.get().events.count() == 1
    assert_calm(worker)
