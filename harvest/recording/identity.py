"""Which run an event belongs to.

A run is known by host, DAG and run id, but old publishers don't name the host. Their events belong
to the only host that has a run of that name; while there is none, or if there are several, to a run
with no host. So the outcome depends on the events alone, not on the order in which they arrive.
"""

from __future__ import annotations

from django.db import connection

from harvest.airflow import Event, RunKey
from harvest.models import HarvestRun
from harvest.recording.counting import recount
from harvest.recording.runs import fold


def locate_run(event: Event) -> HarvestRun:
    """Return the run that an event belongs to, locked, and made if it is the first.

    Must be called in a transaction.
    """
    runs = HarvestRun.objects.of(event.key.dag_id, event.key.dag_run_id)
    if event.key.host:
        run = runs.filter(host=event.key.host).first()
        if run is not None:
            return run

    _lock_name(event.key)
    named = {run.host: run for run in runs}
    nameless = named.pop("", None)

    if not event.key.host:
        if len(named) == 1:
            return next(iter(named.values()))
        return nameless or _create(event)
    if event.key.host in named:  # made by another process, while this one waited
        return named[event.key.host]
    if not named and nameless is not None:
        nameless.host = event.key.host
        nameless.save(update_fields=["host"])
        return nameless
    if len(named) == 1:
        _part_with_nameless_events(next(iter(named.values())))
    return _create(event)


def _create(event: Event) -> HarvestRun:
    return HarvestRun.objects.create(
        host=event.key.host,
        dag_id=event.key.dag_id,
        dag_run_id=event.key.dag_run_id,
        logical_date=event.logical_date,
        dag_run_conf=event.dag_run_conf,
        conf_collection_id=event.collection_id,
        first_event_at=event.sns_timestamp,
        last_heard_at=event.sns_timestamp,
    )


def _part_with_nameless_events(run: HarvestRun) -> None:
    """Give the events that name no host a run of their own: a second host makes them ambiguous."""
    nameless_events = run.events.filter(host="")
    first = nameless_events.order_by("sns_timestamp").first()
    if first is None:
        return
    nameless = HarvestRun.objects.create(
        host="",
        dag_id=run.dag_id,
        dag_run_id=run.dag_run_id,
        logical_date=first.logical_date,
        first_event_at=first.sns_timestamp,
        last_heard_at=first.sns_timestamp,
    )
    nameless_events.update(harvest_run=nameless, collection=None)
    for parted in (run, nameless):
        recount(parted)
        fold(parted)


def _lock_name(key: RunKey) -> None:
    """Let one transaction at a time decide about the runs of one name, on whichever host.

    SQLite needs no such lock: there a transaction locks the whole database when it begins.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"{key.dag_id}\n{key.dag_run_id}"],
            )
