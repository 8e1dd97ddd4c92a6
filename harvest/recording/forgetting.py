"""Letting go of what was kept for long enough. Which that is, harvest/retention.py says."""

from __future__ import annotations

from collections.abc import Collection

from harvest.models import HarvestEvent, RejectedMessage


def empty_envelopes(event_ids: Collection[int]) -> None:
    """Empty what events keep of SQS's and SNS's own. What they say of their run, they go on saying."""
    HarvestEvent.objects.filter(pk__in=event_ids).update(
        sqs_message={}, sns_message={}, has_envelopes=False
    )


def delete_rejected(rejected_ids: Collection[int]) -> None:
    """Delete rejected messages that were understood after all. One that waits is never deleted."""
    RejectedMessage.objects.filter(pk__in=rejected_ids, replayed_at__isnull=False).delete()
