"""Which version of a collection is in production: what its publish and unpublish runs say together.

The newest that has not failed decides: newest by logical date, not by arrival. A run that still goes on
counts, and is taken back should it fail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from harvest.airflow import Outcome


class Publication(Protocol):
    """What the rule reads of a run: of a stored one, or of what one was."""

    @property
    def host(self) -> str: ...
    @property
    def dag_id(self) -> str: ...
    @property
    def dag_run_id(self) -> str: ...
    @property
    def logical_date(self) -> datetime: ...
    @property
    def status(self) -> str: ...
    @property
    def target_version(self) -> str | None: ...


P = TypeVar("P", bound=Publication)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a run says of its collection: all that the rule depends on."""

    collection_id: int
    logical_date: datetime
    version: str


def order(run: Publication) -> tuple[datetime, str, str, str]:
    """Return the key by which runs are ordered, oldest first.

    Of equal dates the larger run id is the newer, so that the order depends on the set of runs alone.
    """
    return (run.logical_date, run.dag_run_id, run.dag_id, run.host)


def counts(run: Publication) -> bool:
    """Return whether a run says what is in production."""
    return run.target_version is not None and run.status != Outcome.FAILED


def newest_publication(runs: Iterable[P], *, before: Publication | None = None) -> P | None:
    """Return the run that decides, or decided before another one, or None where there is none."""
    deciding = (run for run in runs if counts(run) and (before is None or order(run) < order(before)))
    return max(deciding, key=order, default=None)


def published_version(runs: Iterable[Publication], registered: str = "") -> str:
    """Return the version in production, "" for none.

    ``registered`` is what it was before any run, and is again when all of them have failed.
    """
    newest = newest_publication(runs)
    return registered if newest is None else newest.target_version or ""
