"""Which run an event belongs to.

A run is known by host, DAG and run id, but old publishers don't name the host. Their events belong
to the only host that has a run of that name; while there is none, or if there are several, to a run
with no host. So the outcome depends on the events alone, not on the order in which they arrive. A run
that Airflow tells of counts like one that events with its host told of.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from harvest.airflow import Event, RunKey, find_target_version
from harvest.airflow_api import AirflowRun
from harvest.models import HarvestRun
from harvest.recording.answers import forget_events
from harvest.recording.changes import Standing
from harvest.recording.counting import recount
from harvest.recording.runs import fold


def locate_run(event: Event) -> HarvestRun:
    """Return the run that an event belongs to, locked, and made if it is the first.

    Must be called in a transaction.
    """
    first = {
        "logical_date": event.logical_date,
        "dag_run_conf": event.dag_run_conf,
        "conf_collection_id": event.collection_id,
        "first_event_at": event.sns_timestamp,
        "last_heard_at": event.sns_timestamp,
    }
    return _locate(event.key, first)


def locate_listed_run(host: str, listed: AirflowRun, asked_at: datetime) -> HarvestRun:
    """Return the run that Airflow, asked at its own host, tells of; locked, and made if there is none.

    Must be called in a transaction.
    """
    started = listed.start_date or listed.logical_date or asked_at
    first = {"logical_date": listed.logical_date or started, "last_heard_at": started}
    return _locate(RunKey(host, listed.dag_id, listed.dag_run_id), first)


def locate_old_run(told: Event) -> tuple[HarvestRun, bool]:
    """Return the run that another registry tells of, locked, and whether it was made. No event says so.

    Must be called in a transaction.
    """
    first = {
        "logical_date": told.logical_date,
        "dag_run_conf": told.dag_run_conf,
        "conf_collection_id": told.collection_id,
        "target_version": find_target_version(told.key.dag_id, told.dag_run_conf),
        "last_heard_at": told.logical_date,
    }
    known = set(HarvestRun.objects.of(told.key.dag_id, told.key.dag_run_id).values_list("pk", flat=True))
    run = _locate(told.key, first)
    return run, run.pk not in known


def _locate(key: RunKey, first: Mapping[str, Any]) -> HarvestRun:
    """``first`` is what a run that is made has of its first event or mention."""
    runs = HarvestRun.objects.of(key.dag_id, key.dag_run_id)
    if key.host:
        run = runs.filter(host=key.host).first()
        if run is not None:
            return run

    _lock_name(key)
    named = {run.host: run for run in runs}
    nameless = named.pop("", None)

    if not key.host:
        if len(named) == 1:
            return next(iter(named.values()))
        return nameless or HarvestRun.objects.create(**key._asdict(), **first)
    if key.host in named:  # made by another process, while this one waited
        return named[key.host]
    if not named and nameless is not None:
        nameless.host = key.host
        nameless.save(update_fields=["host"])
        return nameless
    if len(named) == 1:
        _part_with_nameless_events(next(iter(named.values())), nameless)
    return HarvestRun.objects.create(**key._asdict(), **first)


def _part_with_nameless_events(run: HarvestRun, nameless: HarvestRun | None) -> None:
    """Give the events that name no host a run of their own: a second host makes them ambiguous.

    ``nameless`` is that run, where there is one: a host that had parted them before is forgotten by now.
    """
    nameless_events = run.events.filter(host="")
    first = nameless_events.order_by("sns_timestamp").first()
    if first is None:
        return
    if nameless is None:
        nameless = HarvestRun.objects.create(
            host="",
            dag_id=run.dag_id,
            dag_run_id=run.dag_run_id,
            logical_date=first.logical_date,
            first_event_at=first.sns_timestamp,
            last_heard_at=first.sns_timestamp,
        )
    nameless_events.update(harvest_run=nameless, collection=None)
    before = Standing.of(run)
    if not run.events.exists():  # what is known of it, it has from Airflow
        forget_events(run)
    recount(run)
    fold(run, before)
    recount(nameless)
    fold(nameless)


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
