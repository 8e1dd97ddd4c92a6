"""Which runs need a look, and what is done with each: the safety net under the events.

It repairs what a lost task or a late collection or trigger left behind, says of a run that fell silent
that it did, and asks Airflow what became of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain, islice, zip_longest

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import QuerySet
from django.utils import timezone

from harvest import airflow_api, metrics, recording
from harvest.airflow_api import AirflowError, Client, NotFound, Unavailable
from harvest.models import HarvestRun
from harvest.recording.runs import stale_after

logger = structlog.stdlib.get_logger(__name__)

#: Runs looked at in one sweep, shared by its questions. The rest wait for the next, oldest first.
SLICE = 500

#: The task that recomputes a run follows the one that records its events at once. After this time
#: it is lost, or so late that doing its work does no harm.
RECOMPUTE_GRACE = timedelta(minutes=5)

#: A stale run whose Airflow nobody may ask changes by an event, which has a task of its own. The sweep
#: only makes sure.
LOOK_AGAIN_AFTER = timedelta(hours=1)

#: For so long nobody else asks Airflow about a run: longer than a task may take. Who asks and is
#: killed leaves the run to a later sweep.
CLAIM = timedelta(minutes=2)


def due_runs(now: datetime, limit: int = SLICE) -> list[int]:
    """Return the ids of the runs that need a look at this time, each once."""
    runs = HarvestRun.objects
    silent = runs.silent(stale_after(), now)
    questions: tuple[QuerySet[HarvestRun], ...] = (
        runs.overdue(now, RECOMPUTE_GRACE).order_by("recompute_due_at"),
        runs.ahead(now + RECOMPUTE_GRACE).order_by("reconciled_at"),
        silent.filter(look_again_at=None).order_by("last_heard_at"),
        silent.filter(look_again_at__lte=now).order_by("look_again_at"),
        runs.unlinked().order_by("pk"),
        runs.untriggered().order_by("pk"),
    )
    answers = (question.values_list("pk", flat=True)[:limit] for question in questions)
    # In turn, so that none of the questions takes the whole slice for ever.
    turns = chain.from_iterable(zip_longest(*answers))
    return list(islice(dict.fromkeys(run_id for run_id in turns if run_id is not None), limit))


def look_at(run_id: int) -> str:
    """Bring one run up to date. Return what it is now, in words for the task's result."""
    result, words = _look_at(run_id)
    metrics.add(metrics.SWEEP_LOOKS, result=result)
    return words


def _look_at(run_id: int) -> tuple[str, str]:
    """Return what came of it, in the word by which it is counted, and what the run is now."""
    run = recording.mark_stale(run_id)
    if run is None:
        return "gone", "gone"
    if run.stale_since is None:
        return "settled", run.status
    client = airflow_api.client_of(run.host)
    asked_at = timezone.now()
    planned = recording.plan_look(run_id, asked_at, LOOK_AGAIN_AFTER if client is None else CLAIM)
    if client is not None and planned:
        return _ask(client, run, asked_at)
    return "stale", f"stale since {run.stale_since:%Y-%m-%d %H:%M:%S} UTC"


def _ask(client: Client, run: HarvestRun, asked_at: datetime) -> tuple[str, str]:
    """Ask Airflow, with no transaction open, and record what came of it. Return as :func:`_look_at`."""
    try:
        answer = client.get_run(run.dag_id, run.dag_run_id)
    except NotFound as error:
        recording.record_not_found(run.pk, str(error), asked_at)
        return "not_found", f"not in Airflow: {error}"
    except (AirflowError, SoftTimeLimitExceeded) as error:
        why = str(error) if isinstance(error, AirflowError) else "no answer in time"
        retry_after = error.retry_after if isinstance(error, Unavailable) else None
        recording.record_no_answer(run.pk, why, asked_at, retry_after)
        logger.warning("airflow_not_asked", host=run.host, run_id=run.pk, error=why)
        return "no_answer", f"Airflow could not be asked: {why}"
    recording.record_answer(run.pk, answer, asked_at)
    return "answered", f"{answer.state} in Airflow"
