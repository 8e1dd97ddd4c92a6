"""What each process, and an operator, does with AWS: the least that they must be allowed.

The policies in deploy/iam say the same, and ``manage.py doctor`` asks whether it is so; tests hold them
to what processes and commands really ask for. Names are those of IAM, where a batch is what it is a
batch of.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from harvest.provision import DEAD_LETTERS, EVENTS, TASKS


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
_FIND = frozenset({"GetQueueUrl", LOOK})
_REDRIVE = _FIND | {RECEIVE, DELETE}
#: What SQS itself asks for when it moves messages.
_MOVE = frozenset({"StartMessageMoveTask", "ListMessageMoveTasks"})

#: By process and queue.
ALLOWED: Mapping[Process, Mapping[str, frozenset[str]]] = {
    # Pages send tasks, and look at the queues of a redrive before they begin it.
    Process.WEB: {
        EVENTS: frozenset({LOOK}),
        EVENTS + DEAD_LETTERS: _FIND,
        TASKS: frozenset({SEND, LOOK}),
        TASKS + DEAD_LETTERS: _FIND,
    },
    Process.WORKER: {
        EVENTS: _TAKE | {LOOK},
        EVENTS + DEAD_LETTERS: _REDRIVE,
        TASKS: _TAKE | {SEND, LOOK},
        TASKS + DEAD_LETTERS: _REDRIVE | _MOVE,
    },
    Process.BEAT: {TASKS: frozenset({SEND})},
}

_MAKE = _FIND | {"CreateQueue", "SetQueueAttributes"}

#: What a person's commands ask of each queue: setup_queues, doctor, publish_events and
#: redrive_dead_letters. (rikolti_status takes messages, as a worker does.)
OPERATOR: Mapping[str, frozenset[str]] = {
    EVENTS: _MAKE | {SEND},
    EVENTS + DEAD_LETTERS: _MAKE | _REDRIVE,
    TASKS: _MAKE | {SEND},
    TASKS + DEAD_LETTERS: _MAKE | _REDRIVE | _MOVE,
}

#: And of the topic.
OPERATOR_OF_TOPIC = frozenset(
    {
        "CreateTopic",
        "GetSubscriptionAttributes",
        "ListSubscriptionsByTopic",
        "ListTopics",
        "Publish",
        "Subscribe",
    }
)
