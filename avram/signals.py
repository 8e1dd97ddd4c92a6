"""What Celery's processes do when they begin, and around each task: logs, metrics, connections."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import boto3
from celery import Task
from celery.signals import (
    beat_init,
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    task_failure,
    task_postrun,
    task_prerun,
    task_retry,
    task_success,
    worker_process_init,
)
from django.db import close_old_connections, reset_queries

from avram import logcontext, logs
from harvest import metrics


@setup_logging.connect
def leave_logging_to_django(**kwargs: object) -> None:
    """Keep Celery from replacing the LOGGING of the settings. Python's warnings go the same way."""
    logging.captureWarnings(True)


@celeryd_init.connect
def identify_worker(sender: str, **kwargs: object) -> None:
    logs.identify("worker", worker=sender)


@celeryd_after_setup.connect
def make_series_of_tasks(instance: Any, **kwargs: object) -> None:
    """Tell Prometheus of each task before it ends for the first time: it sees no growth of what was not
    there before. Web need not: it runs none."""
    metrics.begin_tasks(name for name in instance.app.tasks if name.startswith("harvest."))


@beat_init.connect
def identify_beat(**kwargs: object) -> None:
    logs.identify("beat")


@worker_process_init.connect
def forget_session(**kwargs: object) -> None:
    """Let a pool process make its own session: a thread may have held a lock of this at the fork."""
    boto3.DEFAULT_SESSION = None


@task_prerun.connect
def begin_task(sender: Task[..., Any], **kwargs: object) -> None:
    logcontext.begin_task(sender.request, sender.name)


@task_postrun.connect
def end_task(sender: Task[..., Any], **kwargs: object) -> None:
    logcontext.end_task(sender.request)


@task_prerun.connect
def look_after_connections(sender: Task[..., Any], **kwargs: object) -> None:
    """Do as Django does before a request: let go of a database connection that is broken or old, and of
    the queries that it keeps in DEBUG, 9,000 of them with all that they store."""
    if not sender.request.is_eager:  # else it is the caller's, in the midst of its work
        reset_queries()
        close_old_connections()


def count_task(outcome: str, sender: Task[..., Any], **kwargs: object) -> None:
    metrics.add(metrics.TASKS, task=sender.name or "", outcome=outcome)


for signal, outcome in ((task_success, "succeeded"), (task_retry, "retried"), (task_failure, "failed")):
    signal.connect(partial(count_task, outcome), weak=False)
