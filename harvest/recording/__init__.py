"""The only writer of events, of a run's status and of rejected messages.

``record`` stores what arrived, ``recompute`` makes a run tell what its stored events say,
``set_status`` is a person's word, ``replay`` gives a rejected message another chance.
Everything here may run twice, at once and in any order: the outcome depends on the set of messages.
"""

from harvest.recording.events import NotVerified, Recorded, TransientError, record
from harvest.recording.replaying import replay
from harvest.recording.runs import mark_stale, recompute, set_status
from harvest.recording.versions import version_before

__all__ = [
    "NotVerified",
    "Recorded",
    "TransientError",
    "mark_stale",
    "recompute",
    "record",
    "replay",
    "set_status",
    "version_before",
]
