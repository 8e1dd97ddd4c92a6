"""What each process does with AWS: the least that it must be allowed.

The policies in deploy/iam say the same, and ``manage.py doctor`` asks whether it is so; tests hold both
to what the processes really ask for. Names are those of IAM, where a batch is what it is a batch of.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from harvest.provision import EVENTS, TASKS


class Process(StrEnum):
    """Who asks."""

    WEB = "web"
    WORKER = "worker"
    BEAT = "beat"


SEND = "SendMessage"
RECEIVE = "ReceiveMessage"
DELETE = "DeleteMessage"
HIDE = "ChangeMessageVisibility"
LOOK = "GetQueueAttributes"

_TAKE = frozenset({RECEIVE, DELETE, HIDE})

#: By process and queue.
ALLOWED: Mapping[Process, Mapping[str, frozenset[str]]] = {
    # Pages send tasks: "run now" of a periodic task.
    Process.WEB: {TASKS: frozenset({SEND})},
    Process.WORKER: {EVENTS: _TAKE, TASKS: _TAKE | {SEND, LOOK}},
    Process.BEAT: {TASKS: frozenset({SEND})},
}
