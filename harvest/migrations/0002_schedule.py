"""The schedule. Made once: what an operator changes afterwards is the operator's."""

from typing import Any, NamedTuple

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class Entry(NamedTuple):
    """What beat sends, and when. ``name`` is also the task's, after "harvest."."""

    name: str
    schedule: str
    when: dict[str, Any]
    #: Seconds. One that no worker took by then is one too many: the next is there.
    expires: int
    description: str


ENTRIES = (
    Entry(
        "reconcile_runs",
        "interval",
        {"every": 5, "period": "minutes"},
        5 * 60,
        "The sweep: finds runs that fell silent and says that they are stale, and repairs "
        "what a lost task or a late collection or trigger left behind.",
    ),
    Entry(
        "tell",
        "interval",
        {"every": 1, "period": "minutes"},
        60,
        "Tells people what became of runs: decides which changes are news for which "
        "subscriptions, and has waiting notices sent.",
    ),
    Entry(
        "backfill_runs",
        "interval",
        {"every": 1, "period": "hours"},
        3600,
        "Lists the runs of the last two days in each Airflow of AIRFLOW_HOSTS, and makes those "
        "that sent nothing.",
    ),
    Entry(
        "read_queues",
        "interval",
        {"every": 5, "period": "minutes"},
        5 * 60,
        "Reads how full the queues and their dead-letter queues are, warns of one that is too "
        "full, and goes on with a redrive that was left alone.",
    ),
    Entry(
        "prune",
        "crontab",
        {"hour": "4", "minute": "0"},
        12 * 3600,
        "Removes task results, queue readings, notices, replayed messages and events' raw "
        "envelopes that are older than the RETAIN_ settings say.",
    ),
)

MODELS = {"interval": "IntervalSchedule", "crontab": "CrontabSchedule"}


def make_schedule(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for entry in ENTRIES:
        tasks.get_or_create(
            name=entry.name,
            defaults={
                "task": f"harvest.{entry.name}",
                entry.schedule: find_or_make(apps, MODELS[entry.schedule], entry.when),
                "expire_seconds": entry.expires,
                "description": entry.description,
            },
        )


def find_or_make(apps: Apps, model: str, when: dict[str, Any]) -> object:
    """Return one of these schedules: others may have made several."""
    schedules = apps.get_model("django_celery_beat", model).objects
    return schedules.filter(**when).first() or schedules.create(**when)


class Migration(migrations.Migration):
    dependencies = [
        ("harvest", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_schedule, migrations.RunPython.noop)]
