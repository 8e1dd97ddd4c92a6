"""The Celery app: `celery -A celery_app worker` and `celery -A celery_app beat`.

`celery -A celery_app:monitor flower` reads what the workers tell the monitoring broker, and
`celery -A celery_app:monitor inspect active` asks them there.
"""

import logging
import os
from typing import Any

import boto3
from celery import Celery, Task
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

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")

app = Celery("avram", events="harvest.monitoring:MonitorEvents")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: they are imported when a worker starts, and Django is ready.
app.steps["worker"].update(["harvest.exposition:Server", "harvest.startcheck:QueueCheck"])
app.steps["consumer"].update(
    [
        "harvest.heartbeats:Heartbeats",
        "harvest.consumer:RikoltiConsumer",
        "harvest.remotecontrol:RemoteControl",
    ]
)

#: Not the broker of the tasks: the one that MONITOR_BROKER_URL names (see harvest.monitoring).
monitor = Celery("avram-monitor", set_as_current=False)
monitor.config_from_object("django.conf:settings", namespace="MONITOR")
monitor.autodiscover_tasks()  # Flower limits the rate of tasks that it knows

from avram import logcontext, logs  # noqa: E402 - importing avram asks for the app

logs.configure_structlog()

from harvest import metrics  # noqa: E402 - what it has to say is an entry of the log


@setup_logging.connect
def leave_logging_to_django(**kwargs: object) -> None:
    """Keep Celery from replacing the LOGGING of the settings. Python's warnings go the same way."""
    logging.captureWarnings(True)


@celeryd_init.connect
def identify_worker(sender: str, **kwargs: object) -> None:
    logs.identify("worker", worker=sender)


@celeryd_after_setup.connect
def make_series_of_tasks(**kwargs: object) -> None:
    """Tell Prometheus of each task before it ends for the first time: it sees no growth of what was not
    there before. Web need not: it runs none."""
    metrics.begin_tasks(name for name in app.tasks if name.startswith("harvest."))


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


@task_success.connect
def count_success(sender: Task[..., Any], **kwargs: object) -> None:
    metrics.add(metrics.TASKS, task=sender.name or "", outcome="succeeded")


@task_retry.connect
def count_retry(sender: Task[..., Any], **kwargs: object) -> None:
    metrics.add(metrics.TASKS, task=sender.name or "", outcome="retried")


@task_failure.connect
def count_failure(sender: Task[..., Any], **kwargs: object) -> None:
    metrics.add(metrics.TASKS, task=sender.name or "", outcome="failed")
