"""Recording where only what SNS signed is believed, with SNS's host behind a proxy of the tests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from harvest import recording, tasks
from harvest.certificates import AWAY_SECONDS, Certificates
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.recording import origin
from harvest.sns import SqsMessage
from tests.factories import START, TOPIC_ARN, airflow_event, message, sqs_message
from tests.signatures import CERTIFICATE_URL, SNS_HOST, YEAR, certificate, signed, sns_key
from tests.sns_server import SnsServer, serve

pytestmark = pytest.mark.django_db

Reason = RejectedMessage.Reason


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time for the certificates, none of which is known yet."""
    clock = Clock()
    monkeypatch.setattr(origin, "certificates", Certificates(clock))
    return clock


@pytest.fixture(autouse=True)
def sns(sns_server: SnsServer, clock: Clock, settings: Settings) -> SnsServer:
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN]
    return sns_server


def refusal(message: SqsMessage) -> RejectedMessage:
    assert recording.record([message]).rejected == 1
    assert not HarvestEvent.objects.exists()
    return RejectedMessage.objects.get()


def certificate_at(number: int) -> str:
    return CERTIFICATE_URL.replace("-1.pem", f"-{number:032x}.pem")


def path_of(url: str) -> str:
    return url.removeprefix(f"https://{SNS_HOST}")


# --- What is believed -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
def test_record_what_sns_signed(sns: SnsServer, version: str) -> None:
    result = recording.record([signed(version=version) for _ in range(3)])

    assert result.recorded == 3
    assert sns.requests == [CERTIFICATE_URL]
    assert "UnsubscribeURL" not in HarvestEvent.objects.all()[0].sns_message


def test_record_needs_no_more_queries_for_it(settings: Settings) -> None:
    def queries() -> int:
        messages = [signed(event={"dag_run_id": f"manual__{verify}"}) for _ in range(5)]
        with CaptureQueriesContext(connection) as context:
            recording.record(messages)
        return len(context)

    counts = set()
    for verify in (True, False):
        settings.RIKOLTI_VERIFY_SIGNATURES = verify
        counts.add(queries())
    assert len(counts) == 1


def test_record_copy_with_another_signature_is_the_same_event() -> None:
    first = signed(version="1", message_id="cf997318")
    second = signed(version="2", message_id="cf997318")

    recording.record([first])

    assert recording.record([second]).duplicates == 1


def test_record_believes_anything_where_the_settings_say_so(settings: Settings, sns: SnsServer) -> None:
    settings.RIKOLTI_VERIFY_SIGNATURES = False
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = []

    assert recording.record([message(), sqs_message(json.dumps(airflow_event()))]).recorded == 2
    assert sns.requests == []


# --- What is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forged", "reason", "detail"),
    [
        (message(), Reason.BAD_SIGNATURE, "not in Base64|not that of this message"),
        (signed(key=sns_key(which="somebody's")), Reason.BAD_SIGNATURE, "not that of this message"),
        (
            signed(TopicArn=TOPIC_ARN.replace("Rikolti", "Other")),
            Reason.UNKNOWN_TOPIC,
            "OtherEvents' is not in RIKOLTI_EVENTS_TOPIC_ARNS",
        ),
        (signed(TopicArn=[TOPIC_ARN]), Reason.UNKNOWN_TOPIC, "is not in RIKOLTI_EVENTS_TOPIC_ARNS"),
        (
            signed(SigningCertURL="https://sns.example.org/SimpleNotificationService-1.pem"),
            Reason.BAD_CERTIFICATE,
            "is not one of sns.us-west-2.amazonaws.com: 'https://sns.example.org",
        ),
        (signed(SigningCertURL=certificate_at(2)), Reason.BAD_CERTIFICATE, "status 404"),
        (signed(sent_at=START + 60 * YEAR), Reason.BAD_CERTIFICATE, "valid from .* message of 2086"),
        (signed(sent_at=START - YEAR), Reason.BAD_CERTIFICATE, "valid from .* and the message of 2025"),
        (
            sqs_message(json.dumps(airflow_event())),
            Reason.UNSIGNED,
            "switch raw message delivery off at the subscription",
        ),
        (
            signed(Type="SubscriptionConfirmation", SubscribeURL="https://…", Token="2336"),
            Reason.SUBSCRIPTION,
            "confirm it by hand",
        ),
    ],
    ids=[
        "unsigned", "forged", "topic", "topics", "host", "404", "expired", "not yet", "raw",
        "subscription",
    ],
)  # fmt: skip
def test_record_rejects_and_keeps(forged: SqsMessage, reason: Reason, detail: str) -> None:
    rejected = refusal(forged)

    assert rejected.reason == reason
    assert re.search(detail, rejected.error)
    assert rejected.whole_body == forged.body


def test_record_never_asks_the_address_of_a_confirmation(sns: SnsServer) -> None:
    url = "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription"
    refusal(signed(Type="SubscriptionConfirmation", SubscribeURL=url, Token="2336"))

    assert sns.requests == [CERTIFICATE_URL]


def test_record_asks_nobody_but_sns(sns: SnsServer) -> None:
    refusal(signed(SigningCertURL="https://sns.example.org/SimpleNotificationService-1.pem"))

    assert sns.requests == []


def test_record_what_was_changed_on_its_way() -> None:
    original = signed()
    changed = SqsMessage.from_task({**original.to_task(), "Body": original.body + " "})

    assert refusal(changed).error.startswith("the body's MD5 is ")


def test_record_mixed_batch_has_each_for_itself() -> None:
    good, forged = signed(), message()

    result = recording.record([forged, good])

    assert (result.recorded, result.rejected) == (1, 1)


def test_replay_of_what_was_rejected_without_a_certificate(sns: SnsServer, clock: Clock) -> None:
    """The certificate counts that was valid when the queue took the message."""
    sent_at = START - 3 * YEAR
    rejected = refusal(signed(SigningCertURL=certificate_at(2), sent_at=sent_at))
    assert not recording.replay(rejected)

    clock.now += 3600
    ended = certificate(not_before=sent_at - YEAR, not_after=sent_at + YEAR)
    sns.answers[path_of(certificate_at(2))] = serve(ended)

    assert recording.replay(rejected)
    assert HarvestRun.objects.get().status == "running"


# --- What can't be verified yet -------------------------------------------------------------------


@pytest.fixture
def away(sns: SnsServer) -> SnsServer:
    sns.away = True
    return sns


def test_record_while_no_certificate_can_be_fetched_stores_nothing_of_it(away: SnsServer) -> None:
    with pytest.raises(
        recording.NotVerified, match=r"not verified yet, 2 of 2: https://sns.* ProxyError"
    ) as caught:
        recording.record([signed(), signed()])

    assert len(caught.value.messages) == 2
    assert isinstance(caught.value, recording.TransientError)
    assert not HarvestRun.objects.exists()
    assert not RejectedMessage.objects.exists()


def test_record_stores_what_can_be_verified_meanwhile(sns: SnsServer) -> None:
    recording.record([signed()])  # of the certificate that is known by now
    other = signed(SigningCertURL=certificate_at(2))
    sns.away = True

    with pytest.raises(recording.NotVerified) as caught:
        recording.record([signed(), other, message(), signed()])

    assert caught.value.messages == [other]
    assert (caught.value.recorded.recorded, caught.value.recorded.rejected) == (2, 1)
    assert HarvestEvent.objects.count() == 3


def test_record_asks_for_few_certificates_at_once_and_for_all_in_the_end(sns: SnsServer) -> None:
    waiting = [signed(SigningCertURL=certificate_at(number)) for number in range(10)] + [signed()]

    rounds = 0
    while waiting:
        rounds += 1
        before = len(sns.requests)
        try:
            recording.record(waiting)
            waiting = []
        except recording.NotVerified as error:
            waiting = list(error.messages)
        assert len(sns.requests) - before <= origin.MOST_FETCHES

    assert rounds == 3
    assert HarvestEvent.objects.count() == 1
    assert RejectedMessage.objects.count() == 10


def test_replay_while_no_certificate_can_be_fetched_changes_nothing(
    sns: SnsServer, clock: Clock
) -> None:
    rejected = refusal(signed(SigningCertURL=certificate_at(2)))
    clock.now += 3600
    sns.away = True

    with pytest.raises(recording.NotVerified):
        recording.replay(rejected)

    before = rejected.times_seen
    rejected.refresh_from_db()
    assert (rejected.replayed_at, rejected.times_seen) == (None, before)


def test_task_stores_at_once_and_repeats_only_what_is_left(
    sns: SnsServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.record([signed(event={"rikolti_message": {"a": 1}})])
    left = signed(SigningCertURL=certificate_at(1))
    messages = [
        signed(event={"rikolti_message": {"dag_complete": True}}, at=START + YEAR),
        left,
        message(),
    ]
    sns.away = True
    calls: list[list[str]] = []
    record = recording.record

    def watch(messages: Any) -> recording.Recorded:
        calls.append([message.message_id for message in messages])
        if len(calls) == 2:  # by now the run tells of what is stored, though its task goes on
            assert HarvestRun.objects.get().status == "succeeded"
        sns.away = len(calls) < 3
        clock.now += AWAY_SECONDS
        return record(messages)

    monkeypatch.setattr(recording, "record", watch)
    sns.answers[path_of(certificate_at(1))] = serve(certificate())

    result = tasks.record_event.apply(args=([message.to_task() for message in messages],))

    assert result.result == HarvestRun.objects.get().pk
    assert calls == [[message.message_id for message in messages], [left.message_id], [left.message_id]]
    assert HarvestEvent.objects.count() == 3
    assert RejectedMessage.objects.get().times_seen == 1


def test_task_of_several_runs_repeats_only_what_is_left(
    sns: SnsServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.record([signed(event={"dag_run_id": "before"})])
    left = signed(event={"dag_run_id": "c"}, SigningCertURL=certificate_at(1))
    messages = [signed(event={"dag_run_id": "a"}), left, signed(event={"dag_run_id": "b"})]
    sns.answers[path_of(certificate_at(1))] = serve(certificate())
    calls: list[list[str]] = []
    record = recording.record

    def watch(messages: Any) -> recording.Recorded:
        calls.append([message.message_id for message in messages])
        sns.away = len(calls) < 2
        clock.now += AWAY_SECONDS
        return record(messages)

    monkeypatch.setattr(recording, "record", watch)

    result = tasks.record_event.apply(args=([message.to_task() for message in messages],))

    assert result.result == HarvestRun.objects.get(dag_run_id="c").pk
    assert calls == [[message.message_id for message in messages], [left.message_id]]
    runs = HarvestRun.objects.exclude(dag_run_id="before").order_by("dag_run_id")
    assert list(runs.values_list("dag_run_id", flat=True)) == ["a", "b", "c"]
    assert not RejectedMessage.objects.exists()


def test_error_of_several_runs_tells_of_all_that_wait(away: SnsServer) -> None:
    messages = [signed(event={"dag_run_id": run}) for run in "abc"]

    result = recording.record_all(messages)

    assert result.safe == []
    assert result.unverified is not None
    assert list(result.unverified.messages) == messages
    assert str(result.unverified).startswith("not verified yet, 1 of 1: https://sns")
    assert str(result.unverified).endswith("; and 2 of other runs")


def test_not_verified_tells_no_body(away: SnsServer) -> None:
    with pytest.raises(recording.NotVerified) as caught:
        recording.record([signed(event={"rikolti_message": {"secret": "of the body"}})])

    assert "secret" not in repr(caught.value)
