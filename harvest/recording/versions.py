"""A collection's version in production, which follows its runs (harvest/published.py)."""

from __future__ import annotations

from django.db.models import QuerySet

from harvest.models import Collection, HarvestRun
from harvest.published import Statement, counts, newest_publication, published_version
from harvest.recording.ranking import largest, newest

#: What the rule does not read of a run, and may be of any size.
LARGE = ("dag_run_conf", "airflow_note")


def statement_of(run: HarvestRun) -> Statement | None:
    """Return what a run says of its collection's version, or None where it says nothing."""
    if run.collection_id is None or run.target_version is None or not counts(run):
        return None
    return Statement(run.collection_id, run.logical_date, run.target_version)


def follow(before: Statement | None, now: Statement | None) -> None:
    """Let collections follow a saved, locked run that said something else before.

    Always after the run's own lock, so that no one who holds a collection waits for a run. Of several
    runs of one collection the last to get its lock sees what all of them say.
    """
    if before == now:
        return
    told = {statement.collection_id for statement in (before, now) if statement is not None}
    # A key lock is had by every run that is linked to the collection: with it, two would wait for each
    # other.
    collections = Collection.objects.select_for_update(no_key=True).filter(pk__in=told)
    for collection in collections.order_by("pk"):
        if collection.registered_version is None:
            collection.registered_version = collection.production_target_version
        collection.production_target_version = published_version(
            newest_run(publications(collection.pk)), collection.registered_version
        )
        collection.save(update_fields=["registered_version", "production_target_version"])


def version_before(run: HarvestRun) -> str:
    """Return which version was in production before a run, by what is known of older runs by now."""
    if run.collection is None:
        return ""
    others = publications(run.collection.pk).exclude(pk=run.pk)
    tied = others.filter(logical_date=run.logical_date).defer(*LARGE)
    older = newest_run(others.filter(logical_date__lt=run.logical_date))
    newest = newest_publication([*tied, *older], before=run)
    if newest is None:
        return run.collection.registered_version or ""
    return newest.target_version or ""


def publications(collection_id: int) -> QuerySet[HarvestRun]:
    """Return the runs that say what of a collection is in production."""
    return HarvestRun.objects.filter(collection=collection_id, target_version__isnull=False).exclude(
        status=HarvestRun.Status.FAILED
    )


def newest_run(runs: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
    """Return the newest run, by harvest.published.order."""
    then = (largest("dag_run_id"), largest("dag_id"), largest("host"))
    return newest(runs.defer(*LARGE), "logical_date", *then)
