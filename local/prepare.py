"""What `make run` does before it starts the processes. Run again, it changes nothing."""

from __future__ import annotations

import os

import django
from django.core.management import call_command
from django.db import connection

from local.environment import PASSWORD, USER

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")


def main() -> None:
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("setup_queues")
    _make_user()
    _make_collections()
    _hurry_sweep()
    _read_queues()


def _make_user() -> None:
    from django.contrib.auth.models import User

    host = connection.settings_dict["HOST"]
    if host not in ("", "127.0.0.1", "localhost", "::1") and not host.startswith("/"):
        print("The database is of another machine: make a user with manage.py createsuperuser.")
    elif not User.objects.filter(username=USER).exists():
        User.objects.create_superuser(USER, password=PASSWORD)


def _make_collections() -> None:
    from harvest.models import Collection
    from local.scripts import COLLECTIONS

    for pk, name, campus, mapper in COLLECTIONS:
        Collection.objects.get_or_create(
            pk=pk,
            defaults={
                "name": name,
                "slug": f"collection-{pk}",
                "campus_names": [campus],
                "harvest_type": "oai",
                "mapper_type": mapper,
            },
        )


def _read_queues() -> None:
    """Read how full the queues are once, as beat has it done every five minutes from now on."""
    from django.utils import timezone

    from harvest import readings

    readings.read_queues(timezone.now())


def _hurry_sweep() -> None:
    """Sweep twice a minute, so that the demo's lost run is found before one loses patience.

    Only while the schedule is as the migration made it and has never run.
    """
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    sweep = PeriodicTask.objects.filter(name="reconcile_runs", last_run_at=None).first()
    if sweep is not None:
        sweep.interval = IntervalSchedule.objects.create(every=30, period=IntervalSchedule.SECONDS)
        sweep.save()


if __name__ == "__main__":
    main()
