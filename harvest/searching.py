"""Searching tables that grow for ever: by an index first, and for any text among the newest rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from harvest import limits
from harvest.models import Collection, HarvestEvent, HarvestRun

M = TypeVar("M", bound=Model)

#: In how many rows any text is looked for, where no index can help.
SEARCHED = 500

#: Digits of a collection's id. More are no number to any database.
MAX_COLLECTION_DIGITS = 10


def search(
    queryset: QuerySet[M], search_term: str, meanings: Callable[[str], Iterable[Q]]
) -> QuerySet[M]:
    """Return the rows that each word speaks of.

    A word means the first of its meanings of which there is any, or else the last. Looked for one by
    one, each can use an index; all at once, over several tables, none could. A generator works out what
    is costly when its turn comes.
    """
    everything = queryset.model._base_manager
    for word in search_term.split()[: limits.MAX_WORDS]:
        meaning = Q()
        for meaning in meanings(word):
            if everything.filter(meaning).exists():
                break
        queryset = queryset.filter(meaning)
    return queryset


def newest(queryset: QuerySet[M], column: str, *, of: QuerySet[M] | None = None) -> QuerySet[M]:
    """Return the :data:`SEARCHED` newest rows by an indexed column: those to search for any text. With
    ``of``, those rows that are among the newest of it.

    By the column's value: with a subquery, PostgreSQL would search all rows and then see which are new.
    """
    rows = queryset if of is None else of
    moments = rows.order_by(f"-{column}").values_list(column, flat=True)
    for oldest in moments[SEARCHED - 1 : SEARCHED]:
        queryset = queryset.filter(**{f"{column}__gte": oldest})
    return queryset


def meanings_of_run(word: str) -> Iterator[Q]:
    """Yield what a word may mean of a run, what an index answers first."""
    if _may_be_collection_id(word):
        yield Q(collection=word) | Q(collection=None, conf_collection_id=word)
    yield from _collection_or_id(word)
    yield _with_task(word)
    yield _with_error(word)


def meanings_of_trigger(word: str) -> Iterator[Q]:
    """Yield what a word may mean of a trigger, what an index answers first."""
    if _may_be_collection_id(word):
        yield Q(collection=word)
    yield from _collection_or_id(word)


def _may_be_collection_id(word: str) -> bool:
    return word.isdecimal() and len(word) <= MAX_COLLECTION_DIGITS


def _collection_or_id(word: str) -> Iterator[Q]:
    yield Q(collection__in=Collection.objects.filter(name__icontains=word))
    yield Q(dag_run_id__startswith=word)


def _with_task(task_id: str) -> Q:
    """Of the newest runs: a task may be in any number of them, and of one run any number of times."""
    events = HarvestEvent.objects.filter(harvest_run=OuterRef("pk"), task_id=task_id)
    having = HarvestRun.objects.filter(Exists(events))
    runs = newest(having, "last_heard_at", of=HarvestRun.objects.all())
    return Q(pk__in=list(runs.order_by().values_list("pk", flat=True)))


def _with_error(text: str) -> Q:
    """Of the newest errors, by the index of what ends a run."""
    failures = newest(HarvestEvent.objects.filter(outcome=HarvestRun.Status.FAILED), "sns_timestamp")
    found = failures.annotate(
        **{key: KeyTextTransform(key, "rikolti_message") for key in ("exception", "traceback", "reason")}
    ).filter(Q(exception__contains=text) | Q(traceback__contains=text) | Q(reason__contains=text))
    return Q(pk__in=list(found.order_by().values_list("harvest_run_id", flat=True)))
