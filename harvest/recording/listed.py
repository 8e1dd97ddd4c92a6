"""Runs that Airflow lists: those that sent nothing are made, so that they are seen."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from harvest.airflow_api import AirflowRun
from harvest.models import HarvestRun
from harvest.recording.answers import apply_answer
from harvest.recording.identity import locate_listed_run


def record_listed(host: str, listed: AirflowRun, asked_at: datetime) -> HarvestRun:
    """Record what a host says of one of its runs, which is made if it is not known. Return it.

    What a run that has sent nothing is found to be is no news: it is history that was filled in.
    """
    with transaction.atomic():
        run = locate_listed_run(host, listed, asked_at)
        apply_answer(
            run, listed, asked_at, quiet=run.airflow_checked_at is None and not run.first_event_at
        )
    return run
