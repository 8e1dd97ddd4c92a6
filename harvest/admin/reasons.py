"""Why a run failed, in one line."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Right
from django.utils.translation import gettext

from harvest import limits
from harvest.admin import parts
from harvest.models import HarvestEvent, HarvestRun


def with_reasons(runs: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
    """Return the runs with what :func:`why_failed` reads."""
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


def why_failed(run: HarvestRun) -> str:
    """Return the last line of what the newest error of a failed run says."""
    if run.status != HarvestRun.Status.FAILED:
        return parts.EMPTY
    return parts.one_line(
        getattr(run, "exception", None) or getattr(run, "reason", None) or gettext("not said")
    )
