"""From changes to notices: what is news, and one notice of it for each subscription that wants it.

The changes not considered yet are the outbox. They are written in the transaction that changes the run,
so that a change is considered even if every process dies in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from harvest import news, wording
from harvest.airflow_api import version_of
from harvest.airflowpages import run_page
from harvest.models import Collection, HarvestRun, Notice, RunChange, Subscription
from harvest.news import Interest, Kind, Standing, Told
from harvest.recording.runs import stale_after

#: Changes considered in one transaction each, by one task. The rest wait for the next.
SLICE = 500

#: So many earlier runs of a collection are asked what was told of them.
EARLIER_RUNS = 50


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription, as far as it decides who is told."""

    id: int
    interest: Interest


def due_changes(now: datetime, limit: int = SLICE) -> list[int]:
    """Return the ids of the changes that have settled and were not considered yet, oldest first."""
    waiting = RunChange.objects.filter(considered_at=None, changed_at__lte=now - news.SETTLE)
    return list(waiting.order_by("changed_at", "pk").values_list("pk", flat=True)[:limit])


def subscribers() -> list[Subscriber]:
    """Return who is to be told of anything: of the active subscriptions, those whose owner may still
    see runs."""
    active = Subscription.objects.filter(active=True, owner__is_active=True)
    allowed: dict[int, bool] = {}
    found = []
    for subscription in active.select_related("owner").prefetch_related("collections").order_by("pk"):
        owner = subscription.owner
        if allowed.setdefault(owner.pk, owner.has_perm("harvest.view_harvestrun")):
            found.append(Subscriber(subscription.pk, _interest_of(subscription)))
    return found


def consider(change_id: int, now: datetime, subscribers: Iterable[Subscriber]) -> Kind | None:
    """Decide once whether a change is news and, if it is, write a notice for each who wants to know.

    Return what is told, or None where it is no news, or was considered before.
    """
    with transaction.atomic():
        # The lock makes changes of one run be considered one after the other.
        run = HarvestRun.objects.filter(changes=change_id).select_for_update(of=("self",))
        found = run.first()
        change = RunChange.objects.filter(pk=change_id, considered_at=None).first()
        if found is None or change is None:
            return None
        collection = None
        if found.collection_id is not None:
            # So that of two runs that succeed at once, one is the recovery.
            collections = Collection.objects.select_for_update(no_key=True)
            collection = collections.filter(pk=found.collection_id).first()
        standing = _standing_of(found)
        kind = news.find_news(
            change.kind, standing, _told_of([found.pk]), _told_of(_earlier(found)), now
        )
        change.considered_at = now
        change.news = kind or ""
        change.save(update_fields=["considered_at", "news"])
        if kind is not None:
            content = wording.describe(_report(kind, found, collection, standing), now)
            _write_notices(change, kind, content, now, _wanting(subscribers, kind, found, collection))
    return kind


def write_test(subscription: Subscription, now: datetime) -> Notice:
    """Write a notice that tries a subscription."""
    url = public_url("admin:harvest_subscription_change", subscription.pk)
    content = wording.describe_test(subscription.name, url, now)
    return Notice.objects.create(
        subscription=subscription, kind=wording.TEST, content=content, created_at=now, due_at=now
    )


def public_url(view: str, key: int) -> str:
    """Return the address under which people find a page."""
    return settings.PUBLIC_URL + reverse(view, args=[key])


def _write_notices(
    change: RunChange, kind: Kind, content: Mapping[str, Any], now: datetime, ids: Iterable[int]
) -> None:
    # Some subscriptions may be gone since they were read.
    there = Subscription.objects.filter(pk__in=list(ids)).values_list("pk", flat=True)
    Notice.objects.bulk_create(
        Notice(
            subscription_id=subscription_id,
            change=change,
            kind=kind,
            content=content,
            created_at=now,
            due_at=now,
        )
        for subscription_id in there
    )


def _wanting(
    subscribers: Iterable[Subscriber], kind: Kind, run: HarvestRun, collection: Collection | None
) -> list[int]:
    campuses = _strings(collection.campus_names if collection else [])
    return [
        subscriber.id
        for subscriber in subscribers
        if subscriber.interest.covers(kind, run.dag_id, run.collection_id, campuses)
    ]


def _interest_of(subscription: Subscription) -> Interest:
    return Interest(
        kinds=_strings(subscription.kinds),
        collection_ids=frozenset(collection.pk for collection in subscription.collections.all()),
        campuses=_strings(subscription.campuses),
        dag_ids=_strings(subscription.dag_ids),
    )


def _strings(values: Any) -> frozenset[str]:
    """Return the strings of a JSON column that should be a list of them."""
    return frozenset(value for value in values if isinstance(value, str)) if values else frozenset()


def _standing_of(run: HarvestRun) -> Standing:
    word = news.stand(run.status, run.stale_since, run.lost_since)
    if word == Kind.LOST and run.lost_since is not None:
        return Standing(word, run.lost_since)
    if word == Kind.STALE and run.stale_since is not None:
        # Not when a sweep found it, which may be days later.
        silent_at = stale_after().silent_at(run.dag_id, run.last_heard_at)
        return Standing(word, silent_at or run.stale_since)
    if run.status_source != HarvestRun.StatusSource.EVENTS and run.status_set_at is not None:
        return Standing(word, run.status_set_at)
    return Standing(word, run.last_heard_at)


def _earlier(run: HarvestRun) -> list[int]:
    """Return the ids of earlier runs of this DAG for the same collection, the newest of them."""
    if run.collection_id is None:
        return []
    same = HarvestRun.objects.filter(collection=run.collection_id, dag_id=run.dag_id)
    newest = same.order_by("-last_heard_at", "-pk").values_list("pk", "logical_date")[:EARLIER_RUNS]
    return [key for key, logical_date in newest if logical_date < run.logical_date]


def _told_of(run_ids: list[int]) -> Told | None:
    """Return what was last told of these runs, or None."""
    told = RunChange.objects.filter(harvest_run__in=run_ids).exclude(news="")
    last = told.order_by("-considered_at", "-pk").first()
    if last is None or last.considered_at is None:
        return None
    return Told(Kind(last.news), last.considered_at)


def _report(
    kind: Kind, run: HarvestRun, collection: Collection | None, standing: Standing
) -> wording.Report:
    decided = run.status_source != HarvestRun.StatusSource.EVENTS
    return wording.Report(
        kind=kind,
        run_id=run.pk,
        dag_id=run.dag_id,
        dag_run_id=run.dag_run_id,
        logical_date=run.logical_date,
        host=run.host,
        collection_id=run.conf_collection_id if collection is None else collection.pk,
        collection=collection.name if collection else "",
        status=run.status,
        status_source=run.status_source,
        since=standing.since,
        why=(run.lost_reason if kind is Kind.LOST else "")
        or (run.status_note if decided else "")
        or run.failure_reason,
        run_url=public_url("admin:harvest_harvestrun_change", run.pk),
        airflow_url=run_page(run.key, version_of(run.host)),
    )
