"""The schedule of the sweeps. Made once: what an operator changes afterwards is the operator's."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

EVERY_MINUTES = 5


def make_schedule(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    every = {"every": EVERY_MINUTES, "period": "minutes"}
    interval = intervals.filter(**every).first() or intervals.create(**every)  # twins are allowed
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="reconcile_runs",
        defaults={
            "task": "harvest.reconcile_runs",
            "interval": interval,
            "description": (
                "The sweep: finds runs that fell silent and says that they are stale, and repairs "
                "what a lost task or a late collection or trigger left behind."
            ),
        },
    )


class Migration(migrations.Migration):
    dependencies = [
        ("harvest", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_schedule, migrations.RunPython.noop)]
