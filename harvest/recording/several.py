"""Storing messages of any runs: what record and recompute do for one, for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from harvest.batching import group_by_run
from harvest.recording.events import NotVerified, Recorded, TransientError, record
from harvest.recording.runs import recompute
from harvest.sns import SqsMessage

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedAll:
    """What became of messages of any runs, batch by batch.

    ``safe`` are those that are stored, as events or as rejected messages: they may be deleted. Where
    some can't be verified yet, ``unverified`` says why of the first, and has all that wait.
    """

    batches: Sequence[Recorded]
    safe: Sequence[SqsMessage]
    unverified: NotVerified | None


def record_all(messages: Sequence[SqsMessage]) -> RecordedAll:
    """Store messages, and make each of their runs tell what its stored events say.

    Neither what can't be verified yet stops another, nor a fault of ours with one run.

    Raises:
        Error of the database: it is away. What was stored stays; the same call is worth repeating.
    """
    batches: list[Recorded] = []
    errors: list[NotVerified] = []
    for batch in group_by_run(messages):
        try:
            result = record(batch.messages)
        except NotVerified as error:
            result = error.recorded
            errors.append(error)
        if result.run_id is not None:
            recompute_or_leave(result.run_id)
        batches.append(result)
    unverified = _as_one(errors)
    waiting = unverified.messages if unverified else ()
    safe = [message for message in messages if message not in waiting]
    return RecordedAll(batches, safe, unverified)


def recompute_or_leave(run_id: int) -> None:
    """Recompute a run whose events are stored. A fault of ours with it, which is logged, is left to the
    sweep: it stops nothing else.

    Raises:
        Error of the database: it is away.
    """
    try:
        recompute(run_id)
    except TransientError:
        raise
    except Exception:
        logger.exception("run_not_recomputed", run_id=run_id)


def _as_one(errors: Sequence[NotVerified]) -> NotVerified | None:
    if len(errors) < 2:
        return errors[0] if errors else None
    waiting = [message for error in errors for message in error.messages]
    more = len(waiting) - len(errors[0].messages)
    return NotVerified(f"{errors[0]}; and {more} of other runs", waiting)
