"""What keeps pages quick however long a list grows: no more of it is counted or read than is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from django.contrib.admin import AllValuesFieldListFilter
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from harvest import limits

M = TypeVar("M", bound=Model)

#: How many rows beyond the page that is asked for are counted.
REACH = 1_000

#: In how many rows any text is looked for, where no index can help.
SEARCHED = 500

#: No list is that long, and no database takes a much larger number for a place in it.
LAST_PAGE = 10**9


class AtLeast(int):
    """A count that was stopped; the admin shows it as "1050+"."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class LongListPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of a list that may be long.

    It counts to :data:`REACH` rows beyond the page that is asked for. The rest is not lost: it is
    counted from a page further on.
    """

    def __init__(
        self, object_list: QuerySet[Any], per_page: int, *args: Any, asked_for: int, **kwargs: Any
    ) -> None:
        super().__init__(object_list, per_page, *args, **kwargs)
        self.rows = object_list
        self.bound = asked_for * self.per_page + REACH

    @cached_property
    def count(self) -> int:
        keys = self.rows.order_by().values("pk")
        count: int = keys[: self.bound + 1].count()
        return count if count <= self.bound else AtLeast(self.bound)

    def page(self, number: int | str) -> Page[Any]:
        """Return a page, for which only its own rows are read whole.

        With an offset, a database works out all columns of the rows before it as well.
        """
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        keys = self.rows.values_list("pk", flat=True)[start : start + self.per_page]
        return Page(self.rows.filter(pk__in=list(keys)), number, self)


def count_up_to_reach(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, of which no more than :data:`REACH` are counted."""
    count = rows.order_by().values("pk")[: REACH + 1].count()
    return count if count <= REACH else AtLeast(REACH)


def page_asked_for(request: HttpRequest) -> int:
    """Return the number of a list's page, 1 where the address has none, or nonsense."""
    try:
        return min(max(int(request.GET.get(PAGE_VAR, 1)), 1), LAST_PAGE)
    except ValueError:
        return 1


def search(
    queryset: QuerySet[M], search_term: str, meanings: Callable[[str], Iterable[Q]]
) -> tuple[QuerySet[M], bool]:
    """Return the rows that each word speaks of, as ``get_search_results`` does.

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
    return queryset, False


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


class ValuesFilter(AllValuesFieldListFilter):
    """A filter by the few values of an indexed column, found by one look into the index for each."""

    def __init__(self, field: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(field, request, *args, **kwargs)
        # Whoever may publish chooses how many there are.
        values = islice(_distinct(field), limits.MAX_CHOICES)
        self.lookup_choices = list(values)  # type: ignore[assignment]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice if choice["display"] else {**choice, "display": _("(none)")}


def _distinct(field: Any) -> Iterator[Any]:
    """Yield a column's values in order. SELECT DISTINCT would read all rows."""
    rows = field.model._base_manager.order_by(field.name)
    values = rows.filter(**{f"{field.name}__isnull": False}).values_list(field.name, flat=True)
    value = values.first()
    while value is not None:
        yield value
        value = values.filter(**{f"{field.name}__gt": value}).first()
    if field.null and rows.filter(**{f"{field.name}__isnull": True}).exists():
        yield None
