"""Giving a rejected message another chance, once the code or the data is mended."""

from __future__ import annotations

from django.utils import timezone

from harvest.models import RejectedMessage
from harvest.recording.events import Recorded, record
from harvest.recording.several import recompute_or_leave


def replay(rejected: RejectedMessage) -> Recorded | None:
    """Record a rejected message as if it had just arrived. Return what became of it.

    None: it is still not understood, and stays rejected, with the reason brought up to date.

    Raises:
        TransientError: the database is away or busy, or the certificate can't be fetched. It stays as
            it was.
    """
    result = record([rejected.to_sqs_message()])
    if result.rejected:
        return None
    RejectedMessage.objects.filter(pk=rejected.pk).update(replayed_at=timezone.now())
    if result.run_id is not None:
        recompute_or_leave(result.run_id)
    return result
