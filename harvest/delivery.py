"""Sending notices. Each is sent at least once, always with the same id and content, until it is taken,
or until there were too many attempts. What became of it stands in its row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from smtplib import SMTPException
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from harvest import limits, metrics, news, webhooks, wording
from harvest.models import Notice, Subscription

logger = structlog.stdlib.get_logger(__name__)

#: Notices handed to workers at a time.
SLICE = 500

#: An attempt of which nothing was heard for so long has died with its worker.
LEASE = timedelta(minutes=5)

#: A receiver that was given a new secret has so long to learn it: both sign meanwhile.
BOTH_SECRETS = timedelta(hours=24)


def take_due(now: datetime, limit: int = SLICE) -> list[tuple[int, int]]:
    """Return the notices whose time has come, each as its id and the attempts before this one.

    They are due again after the lease, should the tasks that send them get lost.
    """
    with transaction.atomic():
        due = Notice.objects.filter(state=Notice.State.WAITING, due_at__lte=now).order_by("due_at")
        rows = due.select_for_update(skip_locked=True).values_list("pk", "attempts")[:limit]
        taken = list(rows)
        Notice.objects.filter(pk__in=[pk for pk, _ in taken]).update(due_at=now + LEASE)
    return taken


def deliver(notice_id: int, attempts: int) -> str:
    """Send a notice, unless another has begun with this attempt. Return what became of it, in words."""
    waiting = Notice.objects.filter(pk=notice_id, state=Notice.State.WAITING)
    # Counted before it is made, so that one that kills its worker counts as well.
    if not waiting.filter(attempts=attempts).update(
        attempts=F("attempts") + 1, due_at=timezone.now() + LEASE
    ):
        return "done already"
    notice = waiting.select_related("subscription").first()
    if notice is None:
        return "gone"
    if notice.attempts > news.MAX_ATTEMPTS:
        return _fail(notice, "the workers that tried did not come to an end")
    if not notice.subscription.active:
        _give_up(notice, "the subscription is not active")
        return "given up: the subscription is not active"
    try:
        _send(notice)
    except webhooks.BadAddress as error:
        return _fail(notice, str(error), for_good=True)
    except webhooks.NotTaken as error:
        return _fail(notice, str(error), for_good=error.gone)
    except (SMTPException, OSError, ValueError) as error:
        # Their texts may quote the server's answers, and with them anything; the rest is in the log.
        logger.warning("notice_not_sent", notice_id=notice.pk, error=type(error).__name__)
        return _fail(notice, f"it could not be sent: {type(error).__name__}")
    _succeed(notice)
    return "sent"


def try_again(notice_ids: Sequence[int]) -> int:
    """Make notices due now that wait or were given up, those with all their attempts anew. Return how
    many; what was sent is not sent again."""
    now = timezone.now()
    notices = Notice.objects.filter(pk__in=notice_ids)
    waiting = notices.filter(state=Notice.State.WAITING).update(due_at=now)
    given_up = notices.filter(state=Notice.State.FAILED)
    return waiting + given_up.update(state=Notice.State.WAITING, attempts=0, due_at=now)


def deactivate(subscription_id: int, reason: str) -> None:
    """Switch a subscription off, and say why on its page."""
    Subscription.objects.filter(pk=subscription_id, active=True).update(
        active=False, inactive_reason=reason[: limits.MAX_REASON]
    )


def new_secret(subscription: Subscription) -> str:
    """Give a subscription a new secret and return it, for the only time it is shown."""
    Subscription.objects.filter(pk=subscription.pk).update(
        secret_number=F("secret_number") + 1, secret_changed_at=timezone.now()
    )
    subscription.refresh_from_db()
    return webhooks.show_secret(_secret(subscription, subscription.secret_number))


def _send(notice: Notice) -> None:
    subscription = notice.subscription
    if subscription.channel == Subscription.Channel.MAIL:
        _send_mail(notice)
        return
    body = json.dumps(notice.content).encode()
    now = timezone.now()
    numbers = [subscription.secret_number]
    changed_at = subscription.secret_changed_at
    if changed_at is not None and now - changed_at < BOTH_SECRETS:
        numbers.append(subscription.secret_number - 1)
    secrets = [_secret(subscription, number) for number in numbers]
    headers: Mapping[str, str] = {
        "Content-Type": "application/json",
        "User-Agent": "Avram",
        **webhooks.sign(body, str(notice.pk), now, secrets),
    }
    webhooks.post(subscription.address, body, headers, guarded=settings.WEBHOOKS_GUARDED)


def _send_mail(notice: Notice) -> None:
    subject, text = wording.mail(notice.content)
    site = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    EmailMessage(
        subject,
        text,
        to=[notice.subscription.address],
        headers={
            "Message-ID": f"<notice-{notice.pk}@{site}>",
            "Auto-Submitted": "auto-generated",
        },
    ).send()


def _secret(subscription: Subscription, number: int) -> bytes:
    return webhooks.derive_secret(settings.SECRET_KEY, subscription.pk, number)


def _succeed(notice: Notice) -> None:
    Notice.objects.filter(pk=notice.pk).update(state=Notice.State.SENT, sent_at=timezone.now(), error="")
    Subscription.objects.filter(pk=notice.subscription_id, given_up__gt=0).update(given_up=0)
    metrics.add(metrics.NOTICES, outcome="sent")


def _fail(notice: Notice, error: str, *, for_good: bool = False) -> str:
    """Plan the next attempt. Without one, give the notice up, and a subscription with too many such."""
    wait = None if for_good else news.next_wait(notice.attempts)
    if wait is not None:
        Notice.objects.filter(pk=notice.pk).update(
            due_at=timezone.now() + wait, error=error[: limits.MAX_REASON]
        )
        metrics.add(metrics.NOTICES, outcome="failed")
        return f"next attempt in {wait}: {error}"
    _give_up(notice, error)
    subscriptions = Subscription.objects.filter(pk=notice.subscription_id)
    subscriptions.update(given_up=F("given_up") + 1)
    if for_good or subscriptions.filter(given_up__gte=news.MAX_GIVEN_UP).exists():
        deactivate(notice.subscription_id, f"It could not be told: {error}.")
    return f"given up: {error}"


def _give_up(notice: Notice, error: str) -> None:
    Notice.objects.filter(pk=notice.pk).update(
        state=Notice.State.FAILED, error=error[: limits.MAX_REASON]
    )
    metrics.add(metrics.NOTICES, outcome="given_up")
