"""What keeps pages quick however long a list grows: no more of it is counted or read than is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import AllValuesFieldListFilter
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.forms import SearchForm

from harvest import limits
from harvest.renewal import is_asked_again

#: How many rows beyond the page that is asked for are counted.
REACH = 1_000

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


class ValuesFilter(AllValuesFieldListFilter):
    """A filter by the few values of an indexed column of text.

    Whoever may publish chooses how many there are: of too many, one is written rather than chosen, where
    the filters are a form.
    """

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        # Rows that are asked for again come without the filters beside them.
        shown = not is_asked_again(request)
        values = values_of(field, limits.MAX_CHOICES + 1) if shown else []
        self.lookup_choices = values[: limits.MAX_CHOICES]  # type: ignore[assignment]
        self.written = len(values) > limits.MAX_CHOICES and model_admin.list_filter_submit
        if self.written:
            self.template = "unfold/filters/filters_field.html"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.written and self.used_parameters.get(self.lookup_kwarg) == [""]:
            return queryset  # The form sends what nobody has written into.
        return super().queryset(request, queryset)

    def choices(self, changelist: Any) -> Iterator[Any]:
        if self.written:
            label = _("By %s, as it is written") % self.title
            value = (self.lookup_val or [""])[-1]
            yield {"form": SearchForm(self.lookup_kwarg, label, data={self.lookup_kwarg: value})}
            return
        for choice in super().choices(changelist):
            yield choice if choice["display"] else {**choice, "display": _("(none)")}


def values_of(field: Any, most: int) -> list[Any]:
    """Return a column's first values in order, and None if there is any: in one query, which goes from
    each to the next by the index. SELECT DISTINCT would read all rows."""
    rows = field.model._base_manager.all()
    connection = connections[rows.db]
    column, table = map(connection.ops.quote_name, (field.column, field.model._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE found (value) AS (
                SELECT MIN({column}) FROM {table}
                UNION ALL
                SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > found.value)
                FROM found WHERE found.value IS NOT NULL
            )
            SELECT value FROM found WHERE value IS NOT NULL LIMIT {int(most)}
            """  # noqa: S608 - names of our own, quoted
        )
        values = [value for (value,) in cursor.fetchall()]
    if field.null and rows.filter(**{f"{field.name}__isnull": True}).exists():
        values.append(None)
    return values
