"""Redrive: dead letters taken up again, a slice at a time, so that none is lost between two queues.

Each is received, made safe, and only then deleted: a raw message is recorded, as an event or as a
rejected message with its reason; a task goes back to its queue as it is, or all of them by SQS itself,
where the service can. What is done twice, when a process ends in between, does no harm.

SQS gives what it moves a new id and a new time. Those of a raw message say which event it is, where SNS
delivers raw, and whether its certificate was valid: so raw messages are never moved.

Source: SQS's documentation of dead-letter queue redrive, StartMessageMoveTask and ListMessageMoveTasks.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from harvest import limits, queues, recording
from harvest.deleter import MOST_AT_ONCE
from harvest.models import Redrive
from harvest.queues import Queue
from harvest.rawqueue import RawQueue
from harvest.strictjson import mend

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Seconds of one slice: a task has less than a minute.
SLICE_SECONDS = 20.0

#: Seconds between looks at what SQS moves.
LOOK_SECONDS = 10

#: SQS may take so long to show a move that it has begun: until then it shows the one before.
SETTLE = timedelta(minutes=1)

#: Seconds that an empty queue is waited for: a short poll doesn't ask all of SQS's servers.
WAIT_SECONDS = 2

#: A redrive that nobody has gone on with for so long is taken up again. A task in retry is soon back.
GRACE = timedelta(minutes=10)

#: What a service says that has no move tasks for this queue, or none for us.
NO_MOVE_TASKS = (
    "InvalidAction",
    "UnknownOperationException",
    "UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
    "AccessDenied",
    "AccessDeniedException",
)

#: What SQS says, besides any 5xx and 429, that passes by itself.
PASSING = (
    "KmsThrottled",
    "OverLimit",  # more messages in flight than a queue may have
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
)


class RedriveGoesOn(Exception):
    """Dead letters of this kind are being redriven already: one redrive at a time."""


def begin(kind: Redrive.Kind, *, most: int | None = None, user: User | None = None) -> Redrive:
    """Write down that dead letters are to be redriven. :func:`go_on` does it.

    Raises:
        NoSuchQueue: there is no such queue, or no dead-letter queue of it.
        RedriveGoesOn: another one has not ended.
        BotoCoreError, ClientError: SQS can't be asked.
    """
    dead = _look_at_both(queues.sqs_client(), kind)[1]
    now = timezone.now()
    try:
        with transaction.atomic():
            return Redrive.objects.create(
                kind=kind,
                queue=dead.name,
                user=user,
                most=most,
                total=dead.visible,
                started_at=now,
                touched_at=now,
            )
    except IntegrityError as error:
        if Redrive.objects.open().filter(kind=kind).exists():
            raise RedriveGoesOn(f"{dead.name} is being redriven already") from error
        raise


def go_on(redrive: Redrive, seconds: float = SLICE_SECONDS) -> int:
    """Do one slice. Return how many seconds to wait before the next.

    When there is no more to do, ``ended_at`` is set, with the problem if one ended it.

    Raises:
        TransientError, BotoCoreError, ClientError: it is worth trying again. What was made safe before
            is counted.
    """
    sqs = queues.sqs_client()
    try:
        source, dead = _look_at_both(sqs, Redrive.Kind(redrive.kind))
        if redrive.way == Redrive.Way.UNDECIDED:
            _note(redrive, way=_begin_move(sqs, redrive, source, dead))
        if redrive.way == Redrive.Way.MOVE:
            _follow_move(sqs, redrive, dead)
            return LOOK_SECONDS
        return _take_singly(sqs, redrive, source, dead, seconds)
    except recording.NotVerified as error:
        _note(redrive, problem=_short(error))
        raise
    except (queues.NoSuchQueue, ClientError) as error:
        if isinstance(error, ClientError) and _passes(error):
            _note(redrive, problem=_short(error))
            raise
        _note(redrive, ended_at=timezone.now(), problem=_short(error))
        return 0
    except (*recording.TransientError, BotoCoreError):
        raise
    except Exception as error:
        fault = f"our own fault, see the task results: {type(error).__name__}"
        _note(redrive, ended_at=timezone.now(), problem=fault)
        raise


def next_slice(redrive: Redrive, number: int) -> bool:
    """Return whether the caller, who did this slice, is the one to have the next done.

    SQS may deliver a task twice. One of the two goes on.
    """
    mine = Redrive.objects.open().filter(pk=redrive.pk, slices=number)
    return bool(mine.update(slices=F("slices") + 1, touched_at=timezone.now()))


def left_alone(now: datetime) -> list[Redrive]:
    """Return the redrives whose task or command was lost."""
    return list(Redrive.objects.left_alone(now, GRACE))


def _passes(error: ClientError) -> bool:
    """Return whether the same may be asked again with success, and nobody has to do anything first."""
    code = error.response.get("Error", {}).get("Code", "").removeprefix("AWS.SimpleQueueService.")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code in PASSING or status >= 500 or status == 429


def _look_at_both(sqs: SQSClient, kind: Redrive.Kind) -> tuple[Queue, Queue]:
    source = queues.look_at(sqs, queues.source_url(kind))
    return source, queues.look_at_dead_letters(sqs, source)


# --- Moved by SQS


def _begin_move(sqs: SQSClient, redrive: Redrive, source: Queue, dead: Queue) -> Redrive.Way:
    """Have SQS move all tasks, where it can. Those that it is moving already are ours to follow."""
    if redrive.most is not None or redrive.kind == Redrive.Kind.EVENTS:
        return Redrive.Way.SINGLY
    try:
        if not _is_moving(_newest_move(sqs, dead)):
            sqs.start_message_move_task(SourceArn=dead.arn, DestinationArn=source.arn)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in NO_MOVE_TASKS:
            return Redrive.Way.SINGLY
        raise
    return Redrive.Way.MOVE


def _follow_move(sqs: SQSClient, redrive: Redrive, dead: Queue) -> None:
    move = _newest_move(sqs, dead)
    taken = move.get("ApproximateNumberOfMessagesMoved", 0)
    total = max(redrive.total, move.get("ApproximateNumberOfMessagesToMove", 0), taken)
    if _is_moving(move):
        _note(redrive, taken=taken, total=total, problem="")
        return
    if _is_of_before(move, redrive) and timezone.now() - redrive.started_at < SETTLE:
        _note(redrive, problem="")
        return
    status = move.get("Status", "forgotten by SQS")
    problem = "" if status == "COMPLETED" else f"{status}: {move.get('FailureReason', '')}"
    _note(redrive, taken=taken, total=total, ended_at=timezone.now(), problem=_short(problem))


def _newest_move(sqs: SQSClient, dead: Queue) -> dict[str, Any]:
    results = sqs.list_message_move_tasks(SourceArn=dead.arn, MaxResults=10).get("Results", [])
    return dict(max(results, key=lambda move: move.get("StartedTimestamp", 0), default={}))


def _is_moving(move: dict[str, Any]) -> bool:
    return move.get("Status") in ("RUNNING", "CANCELLING")


def _is_of_before(move: dict[str, Any], redrive: Redrive) -> bool:
    return bool(move.get("StartedTimestamp", 0) < redrive.started_at.timestamp() * 1000)


# --- One by one


def _take_singly(sqs: SQSClient, redrive: Redrive, source: Queue, dead: Queue, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    bound = redrive.most
    if redrive.kind == Redrive.Kind.TASKS:
        # A task that fails again comes back. Those that were there are taken once.
        bound = min(bound or redrive.total, redrive.total)
    while time.monotonic() < deadline:
        room = MOST_AT_ONCE if bound is None else min(bound - redrive.taken, MOST_AT_ONCE)
        if room > 0:
            if redrive.kind == Redrive.Kind.EVENTS:
                found = _record_some(sqs, redrive, dead, room)
            else:
                found = _send_back_some(sqs, redrive, source, dead, room)
            if found:
                continue
            if queues.look_at(sqs, dead.url).in_flight:
                return LOOK_SECONDS  # An earlier slice, or someone else, held them: they come back.
        _note(redrive, ended_at=timezone.now(), problem="")
        break
    return 0


def _record_some(sqs: SQSClient, redrive: Redrive, dead: Queue, most: int) -> bool:
    """Record up to ten raw messages, then delete them. Return whether there were any."""
    queue = RawQueue(dead.url, sqs)
    messages = queue.receive(WAIT_SECONDS, most)
    result = recording.record_all(messages)
    queue.delete(result.safe)
    _count(redrive, taken=len(result.safe), rejected=sum(batch.rejected for batch in result.batches))
    if result.unverified is not None:
        raise result.unverified
    return bool(messages)


def _send_back_some(sqs: SQSClient, redrive: Redrive, source: Queue, dead: Queue, most: int) -> bool:
    """Send up to ten tasks back to their queue as they are, each deleted at once: to be sent twice, a
    process must end in between. Return whether there were any."""
    messages = sqs.receive_message(
        QueueUrl=dead.url,
        MaxNumberOfMessages=most,
        WaitTimeSeconds=WAIT_SECONDS,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["AWSTraceHeader"],
    ).get("Messages", [])
    taken = 0
    try:
        for message in messages:
            sqs.send_message(**_copy(message, source.url))
            sqs.delete_message(QueueUrl=dead.url, ReceiptHandle=message["ReceiptHandle"])
            taken += 1
    finally:
        _count(redrive, taken=taken)
    return bool(messages)


def _copy(message: MessageTypeDef, url: str) -> Any:
    """Return what sends a received message again: its body, and all attributes that a sender gives."""
    attributes = {
        name: {
            key: attribute[key] for key in ("DataType", "StringValue", "BinaryValue") if key in attribute
        }
        for name, attribute in message.get("MessageAttributes", {}).items()
    }
    trace = message.get("Attributes", {}).get("AWSTraceHeader")
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}} if trace else {}
    return {
        "QueueUrl": url,
        "MessageBody": message["Body"],
        **({"MessageAttributes": attributes} if attributes else {}),
        **({"MessageSystemAttributes": system} if system else {}),
    }


# --- What is known of it


def _count(redrive: Redrive, *, taken: int, rejected: int = 0) -> None:
    """Add to what was done, by whoever else does the same at the moment."""
    _note(redrive, taken=F("taken") + taken, rejected=F("rejected") + rejected, problem="")


def _note(redrive: Redrive, **columns: Any) -> None:
    Redrive.objects.filter(pk=redrive.pk, ended_at=None).update(touched_at=timezone.now(), **columns)
    redrive.refresh_from_db()


def _short(problem: object) -> str:
    text: str = mend(str(problem))
    return text[: limits.MAX_REASON]
