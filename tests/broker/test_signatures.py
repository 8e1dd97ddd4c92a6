"""A worker that believes what SNS signed alone, with SNS's host behind a proxy of the test."""

from __future__ import annotations

import json

from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from tests.broker.processes import Processes, wait_until
from tests.broker.test_pipeline import all_done, assert_calm
from tests.broker.wire import Wire
from tests.factories import TOPIC_ARN, airflow_event, sns_body
from tests.signatures import CERTIFICATE_URL, signed, sns_key
from tests.sns_server import SnsServer

COMPLETE = {"rikolti_message": {"dag_complete": True}}


def test_worker_records_what_sns_signed_and_nothing_else(
    processes: Processes, wire: Wire, sns_server: SnsServer
) -> None:
    sns_server.away = True
    worker = processes.worker(
        ready=True,
        RIKOLTI_VERIFY_SIGNATURES="1",
        RIKOLTI_EVENTS_TOPIC_ARNS=TOPIC_ARN,
        **sns_server.variables,
    )
    forged = [
        signed(event=COMPLETE, key=sns_key(which="somebody's")).body,
        sns_body(airflow_event(**COMPLETE)),
    ]
    of_nobody = [
        json.dumps(airflow_event(**COMPLETE)),
        signed(event=COMPLETE, TopicArn=f"{TOPIC_ARN}2").body,
    ]

    wire.send([*(signed(version=version).body for version in "112"), *forged, *of_nobody])
    worker.wait_for("not verified yet")
    wait_until(lambda: RejectedMessage.objects.count() == 2, "what is rejected without a certificate")
    assert not HarvestEvent.objects.exists()

    sns_server.away = False
    wait_until(lambda: all_done(wire), "empty queues")

    assert HarvestRun.objects.get().status == "running"
    assert HarvestEvent.objects.count() == 3
    assert {message.whole_body for message in RejectedMessage.objects.all()} == {*forged, *of_nobody}
    assert set(RejectedMessage.objects.values_list("times_seen", flat=True)) == {1}
    assert set(sns_server.requests) == {CERTIFICATE_URL}
    assert len(sns_server.requests) <= 2  # one for each process that records
    assert_calm(worker)
