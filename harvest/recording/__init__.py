"""The only writer of events, of a run's status and of rejected messages.

``record`` stores what arrived of one run, ``recompute`` makes a run tell what its stored events say,
``record_all`` does both for any runs,
``set_status`` is a person's word, ``record_answer`` and its like are Airflow's, ``replay`` gives a
rejected message another chance, ``empty_envelopes`` and ``delete_rejected`` let go what is old,
``fill_in_events`` and ``fill_in_run`` take history from another registry.
Everything here may run twice, at once and in any order: the outcome depends on the set of messages.
"""

from harvest.recording.answers import record_answer, record_no_answer, record_not_found
from harvest.recording.events import NotVerified, Recorded, SeveralRuns, TransientError, record
from harvest.recording.filling import fill_in_events, fill_in_run
from harvest.recording.forgetting import delete_rejected, empty_envelopes
from harvest.recording.listed import record_listed
from harvest.recording.replaying import replay
from harvest.recording.runs import mark_stale, plan_look, recompute, set_status
from harvest.recording.several import recompute_or_leave, record_all
from harvest.recording.versions import version_before

__all__ = [
    "NotVerified",
    "Recorded",
    "SeveralRuns",
    "TransientError",
    "delete_rejected",
    "empty_envelopes",
    "fill_in_events",
    "fill_in_run",
    "mark_stale",
    "plan_look",
    "recompute",
    "recompute_or_leave",
    "record",
    "record_all",
    "record_answer",
    "record_listed",
    "record_no_answer",
    "record_not_found",
    "replay",
    "set_status",
    "version_before",
]
