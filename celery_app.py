"""The Celery app, which `python -m avram worker` and `python -m avram beat` run.

`celery -A celery_app:monitor flower` reads what the workers tell the monitoring broker, and
`celery -A celery_app:monitor inspect active` asks them there.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")
# A worker would run Django's checks and throw away what they find. They load all pages: 20 MB.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("avram", events="harvest.monitoring:MonitorEvents")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: they are imported when a worker starts, and Django is ready.
app.steps["worker"].update(
    [
        "harvest.exposition:Server",
        "harvest.startcheck:StartCheck",
        "harvest.warmshutdown:WarmShutdown",
    ]
)
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

from avram import logs  # noqa: E402 - importing avram asks for the app

logs.configure_structlog()

from avram import signals  # noqa: E402, F401 - what metrics has to say is an entry of the log
