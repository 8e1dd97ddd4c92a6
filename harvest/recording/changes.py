"""What became of a run, kept as history. Written in the transaction that changes the run, under its
lock: one row a change, however many events, copies of events or sweeps say the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from harvest import metrics
from harvest.models import HarvestRun, RunChange
from harvest.published import Statement
from harvest.recording.versions import follow, statement_of

logger = structlog.stdlib.get_logger(__name__)

Kind = RunChange.Kind


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a run makes history when it changes, and what it says of its collection."""

    status: str
    stale: bool
    lost: bool
    statement: Statement | None

    @classmethod
    def of(cls, run: HarvestRun) -> Standing:
        return cls(
            run.status, run.stale_since is not None, run.lost_since is not None, statement_of(run)
        )


def keep_changes(
    run: HarvestRun, before: Standing, at: datetime, *, user: User | None = None, quiet: bool = False
) -> None:
    """Write down how a saved, locked run differs from what it was. ``quiet``: no news to people.

    The version of its collection that is in production follows, too.
    """
    now = Standing.of(run)
    follow(before.statement, now.statement)
    kinds = [
        kind
        for kind, changed in (
            (Kind(now.status), now.status != before.status),
            (Kind.STALE, now.stale and not before.stale),
            (Kind.LOST, now.lost and not before.lost),
        )
        if changed
    ]
    if not kinds:
        return
    if not quiet:
        transaction.on_commit(partial(_tell, run, before, [str(kind) for kind in kinds]))
    RunChange.objects.bulk_create(
        RunChange(
            harvest_run=run,
            kind=kind,
            before=before.status,
            source=run.status_source,
            user=user,
            note=run.lost_reason[:255] if kind == Kind.LOST else run.status_note,
            changed_at=at,
            quiet=quiet,
            # That a run goes on is no news in itself: it only takes other news back.
            considered_at=at if quiet or kind == Kind.RUNNING else None,
        )
        for kind in kinds
    )
    for kind in kinds:
        transaction.on_commit(partial(metrics.add, metrics.RUN_CHANGES, kind=kind))


def _tell(run: HarvestRun, before: Standing, kinds: list[str]) -> None:
    logger.info(
        "run_changed",
        run_id=run.pk,
        dag_id=run.dag_id,
        dag_run_id=run.dag_run_id,
        kinds=kinds,
        status_before=before.status,
        source=str(run.status_source),
    )
