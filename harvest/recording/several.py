"""Storing messages of any runs: what record and recompute do for one, for each of them."""

from __future__ import annotations

from collections.abc import Iterable

from harvest.batching import group_by_run
from harvest.recording.events import NotVerified, Recorded, record
from harvest.recording.runs import recompute
from harvest.sns import SqsMessage


def record_all(messages: Iterable[SqsMessage]) -> tuple[list[Recorded], NotVerified | None]:
    """Store messages, and make each of their runs tell what its stored events say.

    Returns:
        What became of each batch, and if some can't be verified yet, the error of the last such batch
        with all messages that wait. They stop no other.

    Raises:
        Error of the database: it is away. What was stored stays; the same call is worth repeating.
    """
    results: list[Recorded] = []
    waiting: list[SqsMessage] = []
    unverified: NotVerified | None = None
    for batch in group_by_run(messages):
        try:
            result = record(batch.messages)
        except NotVerified as error:
            result = error.recorded
            waiting.extend(error.messages)
            unverified = NotVerified(str(error), waiting)
        if result.run_id is not None:
            recompute(result.run_id)
        results.append(result)
    return results, unverified
