"""Storing events: parsed, insert-or-ignore, and whatever can't be stored set aside."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone

from harvest import metrics
from harvest.airflow import Event, parse_event
from harvest.certificates import CertificateUnavailable
from harvest.errors import MalformedMessage
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
from harvest.recording.counting import StoredEvent, count, read_stored
from harvest.recording.identity import locate_run
from harvest.recording.origin import verifier
from harvest.recording.rejected import reject
from harvest.sns import SqsMessage, parse_notification

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch of messages. ``run_id`` is None where none of them has a run."""

    run_id: int | None = None
    recorded: int = 0
    duplicates: int = 0
    rejected: int = 0


class SeveralRuns(ValueError):
    """The messages of one call are of more than one run."""


class NotVerified(Exception):
    """Some messages can't be verified yet. All others of the call are stored.

    ``messages`` are those that wait, ``recorded`` is what became of the others.
    """

    def __init__(
        self, detail: str, messages: Sequence[SqsMessage] = (), recorded: Recorded | None = None
    ) -> None:
        super().__init__(detail)
        self.messages = messages
        self.recorded = recorded or Recorded()


#: What heals by itself, so that the same call is worth repeating: the database is away, busy, or so
#: slow that the task's time was up; SNS's certificates can't be fetched.
TransientError = (OperationalError, InterfaceError, SoftTimeLimitExceeded, NotVerified)


def record(messages: Sequence[SqsMessage], *, trusted: bool = False) -> Recorded:
    """Store the messages of one run. Each becomes an event or, if it can't, a rejected message.

    ``trusted``: they are believed without SNS's signature.

    Raises:
        SeveralRuns: the messages are of more than one run. None is stored: see ``record_all``.
        NotVerified: some messages can't be verified yet; all others are stored. Like what else
            TransientError stands for, it heals: the same call is worth repeating.
    """
    verify = None if trusted else verifier()
    parsed: list[tuple[SqsMessage, Event]] = []
    refused: list[tuple[SqsMessage, RejectedMessage.Reason, str]] = []
    waiting: list[SqsMessage] = []
    why = ""
    for message in messages:
        try:
            parsed.append((message, parse_event(parse_notification(message, verify))))
        except CertificateUnavailable as error:
            waiting.append(message)
            why = why or str(error)
        except MalformedMessage as error:
            refused.append((message, RejectedMessage.Reason(error.reason.value), error.detail))
        except TransientError:
            raise
        except Exception:  # a fault of the parser, which must not stop the others
            refused.append((message, RejectedMessage.Reason.FAULT, traceback.format_exc()))
    if len({event.key for _, event in parsed}) > 1:
        raise SeveralRuns("the messages are of more than one run")

    result = _record_events(parsed)
    for message, reason, error_text in refused:
        reject(message, reason, error_text)
    result = replace(result, rejected=result.rejected + len(refused))
    _tell(result, [event for _, event in parsed], len(waiting))
    if waiting:
        raise NotVerified(f"not verified yet, {len(waiting)} of {len(messages)}: {why}", waiting, result)
    return result


def _tell(result: Recorded, events: Sequence[Event], waiting: int) -> None:
    key = events[0].key if events else None
    logger.info(
        "events_recorded",
        run_id=result.run_id,
        dag_id=key.dag_id if key else None,
        dag_run_id=key.dag_run_id if key else None,
        recorded=result.recorded,
        duplicates=result.duplicates,
        rejected=result.rejected,
        waiting=waiting,
        sns_message_ids=[event.message_id for event in events],
    )


def _record_events(parsed: Sequence[tuple[SqsMessage, Event]]) -> Recorded:
    if not parsed:
        return Recorded()
    try:
        run_id, new = _store(parsed, timezone.now())
    except TransientError:
        raise
    except Exception:
        if len(parsed) > 1:
            return _record_singly(parsed)
        reject(parsed[0][0], RejectedMessage.Reason.FAULT, traceback.format_exc())
        return Recorded(rejected=1)
    recorded = Recorded(run_id, len(new), len(parsed) - len(new))
    transaction.on_commit(partial(_count, recorded, new))
    return recorded


def _count(recorded: Recorded, new: Sequence[StoredEvent]) -> None:
    """Count for Prometheus what is stored by now."""
    metrics.add(metrics.EVENTS_RECORDED, recorded.recorded)
    metrics.add(metrics.EVENTS_DUPLICATE, recorded.duplicates)
    lags = (event.recorded_at - event.word[0] for event in new)
    metrics.observe(metrics.EVENT_LAG, (max(0.0, lag.total_seconds()) for lag in lags))


def _record_singly(parsed: Sequence[tuple[SqsMessage, Event]]) -> Recorded:
    """Find which message of a batch the database refuses, and store the others."""
    results = [_record_events([one]) for one in parsed]
    return Recorded(
        run_id=next((result.run_id for result in results if result.run_id is not None), None),
        recorded=sum(result.recorded for result in results),
        duplicates=sum(result.duplicates for result in results),
        rejected=sum(result.rejected for result in results),
    )


def _store(
    parsed: Sequence[tuple[SqsMessage, Event]], now: datetime
) -> tuple[int | None, Sequence[StoredEvent]]:
    """Insert the events that are not stored yet. Return the run's id, and those that were new.

    Raises:
        IntegrityError: the database takes one of them for no event at all.
    """
    ids = {event.message_id for _, event in parsed}
    with transaction.atomic():
        run = locate_run(parsed[0][1])
        HarvestEvent.objects.bulk_create(
            [_row(run, message, event, now) for message, event in parsed], ignore_conflicts=True
        )
        stored = read_stored(ids, now)
        # Under the run's lock nobody else has recorded events of it at this very moment.
        new = [event for event in stored if event.run_id == run.pk and event.recorded_at == now]
        if len(stored) < len(ids):
            # SQLite's INSERT OR IGNORE also ignores what breaks any other constraint.
            raise IntegrityError("the database refused an event without a word")
        if new:
            count(run, new)
            # So that a sweep finds the run, should the task that recomputes it get lost.
            run.recompute_due_at = run.recompute_due_at or now
            run.save(update_fields=["tasks_done", "tasks_failed", "errors", "recompute_due_at"])
        else:
            # Copies change nothing: not even a name under which they are known already may make a run
            # here, or part one, or name its host.
            transaction.set_rollback(True)
    if not new and all(event.run_id != run.pk for event in stored):
        return None, ()
    return run.pk, new


def _row(run: HarvestRun, message: SqsMessage, event: Event, now: datetime) -> HarvestEvent:
    return HarvestEvent(
        message_id=event.message_id,
        harvest_run=run,
        collection_id=run.collection_id,
        sns_timestamp=event.sns_timestamp,
        task_id=event.task_id,
        try_number=event.try_number,
        map_index=event.map_index,
        rikolti_message=event.rikolti_message,
        version=event.version,
        error=event.error,
        dag_level=event.dag_level,
        outcome=event.outcome.value,
        host=event.key.host,
        logical_date=event.logical_date,
        dag_run_conf=event.dag_run_conf,
        sqs_message=message.envelope(),
        sns_message=dict(event.envelope),
        recorded_at=now,
    )
