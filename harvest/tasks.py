"""The Celery tasks: names, options and retries. What they do is done elsewhere, in one call each.

A task may run twice, and at once: with the message acknowledged late, SQS delivers it again when a
worker dies. What can heal is retried without limit; every other error is kept where a person sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from math import ceil
from typing import Any

import structlog
from celery import Signature, Task, shared_task
from django.utils import timezone
from structlog.contextvars import bind_contextvars

from harvest import (
    airflow_api,
    backfill,
    delivery,
    metrics,
    readings,
    reconcile,
    recording,
    redrive,
    retention,
    taskids,
    telling,
    wording,
)
from harvest.models import Redrive, RejectedMessage
from harvest.queues import AwsError
from harvest.sns import SqsMessage

logger = structlog.stdlib.get_logger(__name__)

#: Seconds, with full jitter. SQS delays a message by 15 minutes at most.
LONGEST_WAIT = 60

#: Transactions of one task that prunes, far within its time limit.
PRUNED_SLICES = 20

#: SQS takes 1 MiB a message, and counts what the network carries.
COMPRESSION = "zlib"


class PatientTask(Task):  # type: ignore[type-arg]
    """A task that waits on the queue for its next try.

    Celery would send the time of that try, for a worker to hold the message until then: 50 hours, if
    the clock of the sender was 50 hours ahead; and SQS would deliver it again and again meanwhile.
    """

    def apply_async(self, *args: Any, countdown: float | None = None, **options: Any) -> Any:
        if countdown:
            options["DelaySeconds"] = ceil(countdown)
        return super().apply_async(*args, **options)


class RunTask(PatientTask):
    """A task whose only argument is the id of a run, told by its own id too."""

    def apply_async(
        self, args: Any = None, *more: Any, task_id: str | None = None, **options: Any
    ) -> Any:
        if task_id is None and args:
            task_id = taskids.for_run(*args)
        return super().apply_async(args, *more, task_id=task_id, **options)


class MessagesTask(PatientTask):
    """A task whose arguments are large: it is compressed, and what describes it shows no body.

    That holds for whoever calls it, and for a retry. A retry takes what is left to do alone, where some
    of the messages are stored.
    """

    def apply_async(self, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        options.setdefault("compression", COMPRESSION)
        options["argsrepr"] = options.get("argsrepr") or "(messages)"
        options["kwargsrepr"] = options.get("kwargsrepr") or "{}"
        return super().apply_async(args, kwargs, *more, **options)

    def retry(
        self, args: Any = None, kwargs: Any = None, exc: Any = None, *more: Any, **options: Any
    ) -> Any:
        if isinstance(exc, recording.NotVerified):
            args = ([message.to_task() for message in exc.messages],)
        return super().retry(args, kwargs, exc, *more, **options)

    def signature_from_request(self, request: Any = None, *args: Any, **kwargs: Any) -> Signature[Any]:
        request = request or self.request
        signature = super().signature_from_request(request, *args, **kwargs)
        # None where no message brought the task.
        signature.options["argsrepr"] = getattr(request, "argsrepr", None)
        return signature


RETRY: Mapping[str, Any] = {
    "autoretry_for": recording.TransientError,
    "max_retries": None,
    "retry_backoff": True,
    "retry_backoff_max": LONGEST_WAIT,
    "retry_jitter": True,
}


@shared_task(name="harvest.record_event", base=MessagesTask, **RETRY)
def record_event(messages: Sequence[Mapping[str, str]]) -> int | None:
    """Store the raw messages of one run. Return the run's id, for the next task of the chain.

    What can't be verified yet is tried again, alone.
    """
    read = [SqsMessage.from_task(message) for message in messages]
    try:
        return recording.record(read).run_id
    except recording.SeveralRuns:
        # A consumer of an older version could not read them, and packed them together.
        result = recording.record_all(read)
        if result.unverified is not None:
            raise result.unverified from None
        return max(filter(None, (batch.run_id for batch in result.batches)), default=None)
    except recording.NotVerified as error:
        # What is stored shows in the run's status at once, and doesn't wait with the rest.
        if error.recorded.run_id is not None:
            recording.recompute_or_leave(error.recorded.run_id)
        raise


@shared_task(name="harvest.recompute_run_status", base=PatientTask, **RETRY)
def recompute_run_status(run_id: int | None) -> str:
    """Make a run tell what its stored events say. Without one (all were rejected) do nothing."""
    if run_id is None:
        return "no run: see the rejected messages"
    bind_contextvars(run_id=run_id)
    run = recording.recompute(run_id)
    return f"run {run_id}: {run.status if run else 'gone'}"


@shared_task(name="harvest.reconcile_runs", base=PatientTask, **RETRY)
def reconcile_runs() -> str:
    """The sweep: find the runs that need a look, and have each looked at by a task of its own."""
    run_ids = reconcile.due_runs(timezone.now())
    for run_id in run_ids:
        reconcile_run.delay(run_id)
    metrics.add(metrics.SWEEPS)
    return f"{wording.count(len(run_ids), 'run')} to look at"


@shared_task(name="harvest.reconcile_run", base=RunTask, **RETRY)
def reconcile_run(run_id: int) -> str:
    """Look at one run: events again, links, staleness, and Airflow's word."""
    bind_contextvars(run_id=run_id)
    return f"run {run_id}: {reconcile.look_at(run_id)}"


@shared_task(name="harvest.backfill_runs", base=PatientTask, **RETRY)
def backfill_runs() -> str:
    """Find the runs of late that sent nothing: a task for each host, DAG and slice of time."""
    now = timezone.now()
    windows = list(backfill.windows(now - backfill.REACH, now))
    for window in windows:
        backfill_window.delay(
            window.host, window.dag_id, window.since.isoformat(), window.until.isoformat()
        )
    return f"{wording.count(len(windows), 'window')} to list"


@shared_task(name="harvest.backfill_window", base=PatientTask, **RETRY)
def backfill_window(host: str, dag_id: str, since: str, until: str) -> str:
    """Make the runs of one window that sent nothing. What can't be listed waits for the next time."""
    client = airflow_api.client_of(host)
    if client is None:
        return f"{host} is not configured"
    window = backfill.Window(host, dag_id, datetime.fromisoformat(since), datetime.fromisoformat(until))
    try:
        chunks = list(backfill.fill(client, window))
    except airflow_api.AirflowError as error:
        logger.warning("runs_not_listed", dag_id=dag_id, host=host, error=str(error))
        return f"{dag_id} on {host} could not be listed: {error}"
    runs, made = sum(chunk.runs for chunk in chunks), sum(chunk.made for chunk in chunks)
    failed = sum(chunk.failed for chunk in chunks)
    faults = f", {failed} not recorded by a fault of ours" if failed else ""
    return f"{dag_id} on {host}: {wording.count(runs, 'run')}, {made} new{faults}"


@shared_task(name="harvest.read_queues", base=PatientTask, **RETRY)
def read_queues() -> str:
    """Read how full the queues are, and go on with redrives whose own task was lost."""
    now = timezone.now()
    outcome = readings.read_queues(now)
    for one in redrive.left_alone(now):
        redrive_dead_letters.delay(one.pk, one.slices)
    return str(outcome)


@shared_task(
    name="harvest.redrive",
    base=PatientTask,
    **{**RETRY, "autoretry_for": (*recording.TransientError, *AwsError)},
)
def redrive_dead_letters(redrive_id: int, number: int) -> str:
    """Do one slice of a redrive, and have the next done: each is short, whatever there is to do."""
    one = Redrive.objects.open().filter(pk=redrive_id, slices=number).first()
    if one is None:
        return f"redrive {redrive_id}: slice {number} was done already"
    wait = redrive.go_on(one)
    if one.ended_at is None and redrive.next_slice(one, number):
        redrive_dead_letters.apply_async((redrive_id, number + 1), countdown=wait)
    return f"redrive {redrive_id}: {one.taken} of {one.total} {one.problem}".strip()


@shared_task(name="harvest.prune", base=PatientTask, **RETRY)
def prune() -> str:
    """Let go of what was kept for long enough: some slices of it. The rest is left to a next task."""
    slices = list(islice(retention.prune(timezone.now()), PRUNED_SLICES))
    if len(slices) == PRUNED_SLICES:
        prune.delay()
    rows: Counter[str] = Counter()
    for one in slices:
        rows[one.rule.what] += one.rows
    return ", ".join(f"{what}: {number}" for what, number in rows.items() if number) or "nothing is old"


@shared_task(name="harvest.replay_rejected", base=PatientTask, **RETRY)
def replay_rejected(ids: Sequence[int]) -> str:
    """Give rejected messages another chance, those of a slice. What is recorded already is left alone,
    and what can't be verified yet stays as it was."""
    outcomes: Counter[str] = Counter()
    for rejected in RejectedMessage.objects.filter(pk__in=ids, replayed_at=None).order_by("pk"):
        try:
            understood = recording.replay(rejected)
        except recording.NotVerified:
            outcomes["not verified yet"] += 1
        else:
            outcomes["recorded" if understood else "rejected again"] += 1
    return ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items()) or "nothing to do"


@shared_task(name="harvest.tell", base=PatientTask, **RETRY)
def tell() -> str:
    """Decide what of the changes is news, and have the notices sent whose time has come."""
    now = timezone.now()
    subscribers = telling.subscribers()
    change_ids = telling.due_changes(now)
    told = 0
    for change_id in change_ids:
        try:
            told += telling.consider(change_id, now, subscribers) is not None
        except recording.TransientError:
            raise
        except Exception:  # a fault of ours with one run, which must not keep the others from being told
            logger.exception("change_not_considered", change_id=change_id)
    due = delivery.take_due(now)
    for notice_id, attempts in due:
        deliver_notice.delay(notice_id, attempts)
    changes, verb = wording.count(len(change_ids), "change"), "is" if told == 1 else "are"
    return f"{told} of {changes} {verb} news, {wording.count(len(due), 'notice')} to send"


@shared_task(name="harvest.deliver_notice", base=PatientTask, **RETRY)
def deliver_notice(notice_id: int, attempts: int) -> str:
    """Make one attempt to send a notice. The next, if it fails, comes by ``tell`` when it is time."""
    return f"notice {notice_id}: {delivery.deliver(notice_id, attempts)}"
