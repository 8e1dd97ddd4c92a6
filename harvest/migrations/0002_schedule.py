"""The schedule. Made once: what an operator changes afterwards is the operator's."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

EVERY_MINUTES = 5


def make_schedule(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    tasks.get_or_create(
        name="reconcile_runs",
        defaults={
            "task": "harvest.reconcile_runs",
            "interval": find_or_make(
                apps, "IntervalSchedule", every=EVERY_MINUTES, period="minutes"
            ),
            # A sweep that no worker took in time is one too many: the next is there.
            "expire_seconds": EVERY_MINUTES * 60,
            "description": (
                "The sweep: finds runs that fell silent and says that they are stale, and repairs "
                "what a lost task or a late collection or trigger left behind."
            ),
        },
    )
    tasks.get_or_create(
        name="tell",
        defaults={
            "task": "harvest.tell",
            "interval": find_or_make(apps, "IntervalSchedule", every=1, period="minutes"),
            "expire_seconds": 60,
            "description": (
                "Tells people what became of runs: decides which changes are news for which "
                "subscriptions, and has waiting notices sent."
            ),
        },
    )
    tasks.get_or_create(
        name="backfill_runs",
        defaults={
            "task": "harvest.backfill_runs",
            "interval": find_or_make(apps, "IntervalSchedule", every=1, period="hours"),
            "expire_seconds": 3600,
            "description": (
                "Lists the runs of the last two days in each Airflow of AIRFLOW_HOSTS, and makes those "
                "that sent nothing."
            ),
        },
    )
    tasks.get_or_create(
        name="read_queues",
        defaults={
            "task": "harvest.read_queues",
            "interval": find_or_make(
                apps, "IntervalSchedule", every=EVERY_MINUTES, period="minutes"
            ),
            "expire_seconds": EVERY_MINUTES * 60,
            "description": (
                "Reads how full the queues and their dead-letter queues are, warns of one that is too "
                "full, and goes on with a redrive that was left alone."
            ),
        },
    )
    tasks.get_or_create(
        name="celery.backend_cleanup",
        defaults={
            "task": "celery.backend_cleanup",
            "crontab": find_or_make(apps, "CrontabSchedule", hour="4", minute="0"),
            "expire_seconds": 12 * 3600,
            "description": "Removes task results that are older than CELERY_RESULT_EXPIRES.",
        },
    )


def find_or_make(apps: Apps, model: str, **fields: object) -> object:
    """Return one of these schedules: others may have made several."""
    schedules = apps.get_model("django_celery_beat", model).objects
    return schedules.filter(**fields).first() or schedules.create(**fields)


class Migration(migrations.Migration):
    dependencies = [
        ("harvest", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_schedule, migrations.RunPython.noop)]
