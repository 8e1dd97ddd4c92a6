"""Sending notices, to real servers and to Django's mailbox of the tests."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from harvest import delivery, news, tasks
from harvest.models import Notice, Subscription
from tests import factories
from tests.webhook_server import WebhookServer, answer_with

pytestmark = pytest.mark.django_db

State = Notice.State


@pytest.fixture
def receiver() -> Iterator[WebhookServer]:
    with closing(WebhookServer()) as server:
        yield server


@pytest.fixture
def webhook(receiver: WebhookServer, settings: Settings) -> Subscription:
    """A subscription of the receiver, which may be on this machine as in development."""
    settings.WEBHOOKS_GUARDED = False
    return factories.make_subscription(channel=Subscription.Channel.WEBHOOK, address=receiver.url)


def attempt(notice: Notice) -> str:
    """Make an attempt that is due, however long it would have to wait."""
    Notice.objects.filter(pk=notice.pk).update(due_at=timezone.now())
    [(notice_id, attempts)] = delivery.take_due(timezone.now())
    outcome = delivery.deliver(notice_id, attempts)
    notice.refresh_from_db()
    return outcome


def test_receiver_that_fails_twice_gets_one_message_with_one_id(
    receiver: WebhookServer, webhook: Subscription, deliver_at_once: None
) -> None:
    receiver.answers = [answer_with(503), answer_with(500)]
    secret = delivery.new_secret(webhook)
    notice = factories.make_notice(webhook)

    for _ in range(5):
        Notice.objects.update(due_at=timezone.now())
        tasks.tell()

    notice.refresh_from_db()
    assert (notice.state, notice.attempts, notice.error) == (State.SENT, 3, "")
    assert len(receiver.received) == 3
    assert {received.headers["webhook-id"] for received in receiver.received} == {str(notice.pk)}
    assert len({received.body for received in receiver.received}) == 1
    for received in receiver.received:
        content = Webhook(secret).verify(received.body, received.headers)
        assert content["type"] == "harvest.test"
        assert "text" in content


def test_attempt_is_made_once_however_often_it_is_delivered(
    receiver: WebhookServer, webhook: Subscription
) -> None:
    notice = factories.make_notice(webhook)

    outcomes = [delivery.deliver(notice.pk, 0) for _ in range(3)]

    assert outcomes == ["sent", "done already", "done already"]
    assert len(receiver.received) == 1


def test_failed_attempt_waits_longer_each_time(receiver: WebhookServer, webhook: Subscription) -> None:
    receiver.answers = [answer_with(500)] * 2
    notice = factories.make_notice(webhook)
    waits = []
    for _ in range(2):
        assert attempt(notice).startswith("next attempt in ")
        waits.append(notice.due_at - timezone.now())

    assert notice.state == State.WAITING
    assert notice.error == "it answered with status 500"
    assert waits[0] < waits[1]
    assert delivery.take_due(timezone.now()) == []


def test_notice_is_given_up_in_the_end(receiver: WebhookServer, webhook: Subscription) -> None:
    receiver.answers = [answer_with(500)] * 20
    notice = factories.make_notice(webhook)
    outcomes = [attempt(notice) for _ in range(news.MAX_ATTEMPTS)]

    assert outcomes[-1] == "given up: it answered with status 500"
    assert notice.state == State.FAILED
    webhook.refresh_from_db()
    assert (webhook.active, webhook.given_up) == (True, 1)


def test_subscription_that_can_never_be_told_is_switched_off(
    receiver: WebhookServer, webhook: Subscription
) -> None:
    receiver.answers = [answer_with(500)]
    Subscription.objects.update(given_up=news.MAX_GIVEN_UP - 1)
    notice = factories.make_notice(webhook, attempts=news.MAX_ATTEMPTS - 1)

    attempt(notice)

    webhook.refresh_from_db()
    assert not webhook.active
    assert webhook.inactive_reason == "It could not be told: it answered with status 500."


def test_notice_that_is_taken_makes_up_for_those_given_up(webhook: Subscription) -> None:
    Subscription.objects.update(given_up=news.MAX_GIVEN_UP - 1)

    attempt(factories.make_notice(webhook))

    webhook.refresh_from_db()
    assert webhook.given_up == 0


def test_receiver_that_is_gone_is_asked_no_more(receiver: WebhookServer, webhook: Subscription) -> None:
    receiver.answers = [answer_with(410)]
    first, second = factories.make_notice(webhook), factories.make_notice(webhook)
    delivery.take_due(timezone.now())

    assert delivery.deliver(first.pk, 0) == "given up: it answered with status 410"
    assert delivery.deliver(second.pk, 0) == "given up: the subscription is not active"

    webhook.refresh_from_db()
    assert not webhook.active
    assert "410" in webhook.inactive_reason
    assert len(receiver.received) == 1


def test_webhook_into_our_own_network_is_refused(
    receiver: WebhookServer, webhook: Subscription, settings: Settings
) -> None:
    settings.WEBHOOKS_GUARDED = True
    Subscription.objects.update(address=f"https://localhost:{receiver.port}/")
    notice = factories.make_notice(webhook)

    assert attempt(notice) == "given up: its host is not on the public internet"
    assert receiver.received == []


def test_worker_that_dies_in_the_midst_of_an_attempt_loses_nothing(webhook: Subscription) -> None:
    notice = factories.make_notice(webhook)
    now = timezone.now()

    assert delivery.take_due(now) == [(notice.pk, 0)]
    # What the worker wrote before it died:
    Notice.objects.update(attempts=1)

    assert delivery.take_due(now + timedelta(minutes=1)) == []
    assert delivery.take_due(now + delivery.LEASE) == [(notice.pk, 1)]
    assert delivery.deliver(notice.pk, 1) == "sent"


def test_notice_that_ends_every_worker_is_given_up(webhook: Subscription) -> None:
    notice = factories.make_notice(webhook, attempts=news.MAX_ATTEMPTS)

    assert attempt(notice) == "given up: the workers that tried did not come to an end"


def test_database_that_is_away_after_sending_sends_no_second_time_at_once(
    receiver: WebhookServer, webhook: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = factories.make_notice(webhook)

    def refuse(notice: Notice) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as away:
        away.setattr(delivery, "_succeed", refuse)
        tasks.deliver_notice.apply(args=(notice.pk, 0))

    assert len(receiver.received) == 1
    assert Notice.objects.get().state == State.WAITING


# --- Secrets --------------------------------------------------------------------------------------


def test_both_secrets_are_good_for_a_while(receiver: WebhookServer, webhook: Subscription) -> None:
    old, new = delivery.new_secret(webhook), delivery.new_secret(webhook)
    attempt(factories.make_notice(webhook))
    Subscription.objects.update(secret_changed_at=timezone.now() - delivery.BOTH_SECRETS)
    attempt(factories.make_notice(webhook))

    during, after = receiver.received
    assert len(during.headers["webhook-signature"].split()) == 2
    assert len(after.headers["webhook-signature"].split()) == 1
    for secret in (old, new):
        Webhook(secret).verify(during.body, during.headers)
    Webhook(new).verify(after.body, after.headers)


def test_secret_is_in_no_row(webhook: Subscription) -> None:
    secret = delivery.new_secret(webhook)
    row = Subscription.objects.filter(pk=webhook.pk).values().get()

    assert secret not in json.dumps(row, default=str)


# --- Mail -----------------------------------------------------------------------------------------


def test_mail_can_be_told_from_a_person_and_known_again(settings: Settings) -> None:
    settings.PUBLIC_URL = "https://registry.example.org"
    settings.DEFAULT_FROM_EMAIL = "avram@registry.example.org"
    notice = factories.make_notice(factories.make_subscription(name="mine\r\nBcc: all@example.org"))

    assert attempt(notice) == "sent"

    [sent] = mail.outbox
    assert sent.to == ["ada@example.org"]
    assert sent.from_email == "avram@registry.example.org"
    assert sent.subject == "A test of the subscription mine Bcc: all@example.org"
    headers = sent.message()
    assert headers["Message-ID"] == f"<notice-{notice.pk}@registry.example.org>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Bcc"] is None


def test_mail_to_a_domain_that_is_not_allowed_switches_off(settings: Settings) -> None:
    settings.NOTICE_MAIL_DOMAINS = ["example.com"]
    subscription = factories.make_subscription()

    delivery.deliver(factories.make_notice(subscription).pk, 0)

    subscription.refresh_from_db()
    assert not mail.outbox
    assert (subscription.active, subscription.inactive_reason) == (
        False, "It could not be told: mail to this domain is not allowed.",
    )  # fmt: skip


def test_mail_to_two_lines_is_sent_to_nobody() -> None:
    subscription = factories.make_subscription(address="ada@example.org\nBcc: all@example.org")

    outcome = attempt(factories.make_notice(subscription))

    assert "it could not be sent" in outcome
    assert mail.outbox == []


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("mail.example.org"),
        smtplib.SMTPAuthenticationError(535, b"user avram, password hunter2"),
    ],
)
def test_mail_server_that_is_away_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(self: EmailMessage, *args: Any) -> None:
        raise error

    notice = factories.make_notice(factories.make_subscription())
    with monkeypatch.context() as away:
        away.setattr(EmailMessage, "send", refuse)
        attempt(notice)

    assert notice.state == State.WAITING
    assert notice.error == f"it could not be sent: {type(error).__name__}"
    assert attempt(notice) == "sent"
