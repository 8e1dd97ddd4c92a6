"""The tables, and the constraints and indexes that the code relies on.

Columns keep the registry's names, which its users know. Events, what a run tells, and rejected
messages are written by :mod:`harvest.recording` alone.
"""

from harvest.models.changes import RunChange
from harvest.models.events import HarvestEvent
from harvest.models.heartbeats import Heartbeat
from harvest.models.notices import Notice, Subscription
from harvest.models.queues import QueueReading, Redrive
from harvest.models.registry import Collection, HarvestTrigger
from harvest.models.rejected import RejectedMessage
from harvest.models.runs import HarvestRun

__all__ = [
    "Collection",
    "HarvestEvent",
    "HarvestRun",
    "HarvestTrigger",
    "Heartbeat",
    "Notice",
    "QueueReading",
    "Redrive",
    "RejectedMessage",
    "RunChange",
    "Subscription",
]
