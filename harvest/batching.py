"""Raw messages → one batch a run: what one chain of tasks takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harvest import limits
from harvest.airflow import RunKey, parse_event
from harvest.errors import MalformedMessage
from harvest.sns import SqsMessage, parse_notification

#: Messages that can't be read, in one batch: alone, thousands of them would take the consumer longer to
#: publish than the queue hides them.
MAX_UNREADABLE = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one run, or some of which no run can be found (``key`` is None)."""

    key: RunKey | None
    messages: Sequence[SqsMessage]

    def __str__(self) -> str:
        """Say what a person reads in Flower and in the task's result: never a body."""
        count = f"{len(self.messages)} message{'s' if len(self.messages) > 1 else ''}"
        if self.key is None:
            return f"{count} of no run: {self.messages[0].message_id}"
        return f"{count} of {self.key.dag_id} {self.key.dag_run_id}"


def group_by_run(messages: Iterable[SqsMessage]) -> list[Batch]:
    """Sort messages into batches, bounded by count and bytes, each in order of arrival."""
    by_run: dict[RunKey, list[SqsMessage]] = {}
    unreadable: list[SqsMessage] = []
    batches: list[Batch] = []
    for message in messages:
        try:
            key = parse_event(parse_notification(message)).key
        except MalformedMessage:  # recording finds the reason again, and keeps it with the message
            unreadable.append(message)
        except Exception:  # a fault of ours: who knows what recording makes of it
            batches.append(Batch(None, [message]))
        else:
            by_run.setdefault(key, []).append(message)
    for start in range(0, len(unreadable), MAX_UNREADABLE):
        batches.extend(Batch(None, part) for part in _split(unreadable[start : start + MAX_UNREADABLE]))
    for run, run_messages in by_run.items():
        batches.extend(Batch(run, part) for part in _split(run_messages))
    return batches


def _split(messages: Sequence[SqsMessage]) -> Iterator[Sequence[SqsMessage]]:
    batch: list[SqsMessage] = []
    size = 0
    for message in messages:
        bytes_more = message.size
        too_large = size + bytes_more > limits.MAX_BATCH_BYTES
        if batch and (too_large or len(batch) == limits.MAX_BATCH_MESSAGES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += bytes_more
    if batch:
        yield batch
