"""Setting aside what can't be understood: whole, with the reason, until it is replayed."""

from __future__ import annotations

import hashlib
from functools import partial

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from harvest import metrics
from harvest.models import RejectedMessage
from harvest.sns import SqsMessage, publication_id
from harvest.strictjson import mend

logger = structlog.stdlib.get_logger(__name__)


def reject(message: SqsMessage, reason: RejectedMessage.Reason, error: str) -> None:
    """Keep a message. Another copy of a publication that is kept already is counted on it."""
    now = timezone.now()
    outcome = {"reason": reason, "error": mend(error)}
    identity = f"{publication_id(message)}\n{message.body}"
    digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()
    with transaction.atomic():
        # Locked, or else a row that was replayed long ago could be deleted meanwhile.
        row, created = RejectedMessage.objects.select_for_update().get_or_create(
            digest=digest,
            defaults={
                **RejectedMessage.store_body(message.body),
                **outcome,
                "sqs_message": mend(message.envelope()),
                "sent_at": message.sent_at,
                "first_seen_at": now,
                "last_seen_at": now,
            },
        )
        if not created:
            RejectedMessage.objects.filter(pk=row.pk).update(
                **outcome, times_seen=F("times_seen") + 1, last_seen_at=now, replayed_at=None
            )
    transaction.on_commit(partial(metrics.add, metrics.MESSAGES_REJECTED, reason=reason))
    # No more: what exactly is wrong may quote the message, and is read in the admin.
    logger.warning(
        "message_rejected",
        sqs_message_id=message.message_id,
        reason=str(reason),
        seen_before=not created,
    )
