"""Raw messages → one batch a run: what one chain of tasks takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harvest.airflow import RunKey, parse_event
from harvest.sns import SqsMessage, parse_notification

#: SQS takes 1 MiB a message. Bodies are JSON in JSON: they grow by up to a half when quoted again,
#: and shrink by far more when compressed, but for text that was made not to.
MAX_BATCH_BYTES = 256 * 1024
#: One transaction stores a batch. Beyond some hundred rows a larger one gains nothing.
MAX_BATCH_MESSAGES = 200


def group_by_run(messages: Iterable[SqsMessage]) -> list[Sequence[SqsMessage]]:
    """Sort messages into batches of one run each, bounded by count and bytes, in order of arrival.

    A message whose run can't be found is a batch of its own.
    """
    by_run: dict[RunKey, list[SqsMessage]] = {}
    batches: list[Sequence[SqsMessage]] = []
    for message in messages:
        key = find_run_key(message)
        if key is None:
            batches.append([message])
        else:
            by_run.setdefault(key, []).append(message)
    for run_messages in by_run.values():
        batches.extend(_split(run_messages))
    return batches


def find_run_key(message: SqsMessage) -> RunKey | None:
    """Return the run that a message speaks of, or None where it can't be found, for any reason."""
    try:
        return parse_event(parse_notification(message)).key
    except Exception:  # recording finds the reason again, and keeps it with the message
        return None


def _split(messages: Sequence[SqsMessage]) -> Iterator[Sequence[SqsMessage]]:
    batch: list[SqsMessage] = []
    size = 0
    for message in messages:
        bytes_more = len(message.body.encode())
        if batch and (size + bytes_more > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_MESSAGES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += bytes_more
    if batch:
        yield batch
