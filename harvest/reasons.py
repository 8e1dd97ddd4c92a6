"""Why a run failed, in one line: the last line of its newest exception, or the reason that it gave."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Right

from harvest import limits
from harvest.models import HarvestEvent, HarvestRun


def with_reasons(runs: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
    """Return the runs with what :func:`reason_of` reads, found in the same query."""
    newest_error = HarvestEvent.objects.filter(harvest_run=OuterRef("pk"), error=True)
    # Their ends, as text: a stranger's may be of any type and length.
    exception = Right(KeyTextTransform("exception", "rikolti_message"), limits.MAX_FETCHED)
    reason = Right(KeyTextTransform("reason", "rikolti_message"), limits.MAX_FETCHED)
    return runs.annotate(
        exception=Subquery(
            newest_error.filter(rikolti_message__has_key="exception")
            .order_by("-sns_timestamp")
            .values_list(exception)[:1]
        ),
        reason=Subquery(newest_error.order_by("-sns_timestamp").values_list(reason)[:1]),
    )


def reason_of(run: HarvestRun) -> str:
    """Return why a run of :func:`with_reasons` failed, empty where it did not, or did not say."""
    if run.status != HarvestRun.Status.FAILED:
        return ""
    text = getattr(run, "exception", None) or getattr(run, "reason", None) or ""
    line: str = text.strip().rpartition("\n")[2].strip()
    return line
