"""What the list of runs is filtered by: each filter begins with an index, however long the list is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateFilter

from harvest import limits
from harvest.models import Collection, HarvestRun
from harvest.renewal import is_asked_again

#: Ways to combine campuses in a collection, of which the registry has some dozens.
MAX_COMBINATIONS = 500


class ChoiceFilter(admin.SimpleListFilter):
    """A filter of a few choices, which the form around it keeps when another filter is applied."""

    @property
    def lookup_kwarg(self) -> str:
        """What the theme's template calls the parameter."""
        return str(self.parameter_name)

    @property
    def lookup_val(self) -> list[str]:
        value = self.value()
        return [] if value is None else [value]


class StandingFilter(ChoiceFilter):
    title = _("stale or lost")
    parameter_name = "standing"

    CONDITIONS = {
        "stale": Q(stale_since__isnull=False),
        "lost": Q(lost_since__isnull=False),
        "neither": Q(stale_since__isnull=True, lost_since__isnull=True),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("stale", gettext("stale")),
            ("lost", gettext("lost")),
            ("neither", gettext("neither")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.filter(self.CONDITIONS.get(self.value() or "", Q()))


class ErrorsFilter(ChoiceFilter):
    title = _("errors")
    parameter_name = "errors"

    CONDITIONS = {"yes": Q(errors__gt=0), "no": Q(errors=0)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", gettext("has errors")), ("no", gettext("has none"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        return queryset.filter(self.CONDITIONS.get(self.value() or "", Q()))


class WithinFilter(ChoiceFilter):
    """By an age, which goes on counting while the list refreshes itself."""

    title = _("newest event")
    parameter_name = "within"
    column = "last_heard_at"

    AGES = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("24h", gettext("in the last 24 hours")),
            ("7d", gettext("in the last 7 days")),
            ("30d", gettext("in the last 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        age = self.AGES.get(self.value() or "")
        if age is None:
            return queryset
        return queryset.filter(**{f"{self.column}__gte": timezone.now() - age})


class FailedFilter(WithinFilter):
    """By when it became a failed one: a person or Airflow may say so long after the newest event."""

    title = _("failed")
    parameter_name = "failed"
    column = "failed_since"


class DaysFilter(RangeDateFilter):
    """By days in UTC, the first and the last included. (The theme's own leaves out the last.)"""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("days of the newest event (UTC)")

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        ends = (f"{self.parameter_name}_{end}" for end in ("from", "to"))
        first, last = (_day(self.used_parameters.get(end)) for end in ends)
        if first is not None:
            queryset = queryset.filter(last_heard_at__gte=datetime.combine(first, time.min, UTC))
        if last is not None:
            queryset = queryset.filter(last_heard_at__lte=datetime.combine(last, time.max, UTC))
        return queryset


def _day(text: str | None) -> date | None:
    """Return a day as the calendar beside the filter writes it.

    Raises:
        IncorrectLookupParameters: it is none; the admin shows the whole list.
    """
    if not text:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise IncorrectLookupParameters(error) from error


def known_campuses(combinations: list[list[Any]] | None = None) -> list[str]:
    """Return the campuses that collections name, in order."""
    combinations = _combinations() if combinations is None else combinations
    return sorted({str(name) for names in combinations for name in names})[: limits.MAX_CHOICES]


def _combinations() -> list[list[Any]]:
    combined = Collection.objects.order_by().values_list("campus_names", flat=True).distinct()
    return [names for names in combined[:MAX_COMBINATIONS] if isinstance(names, list)]


class CampusFilter(ChoiceFilter):
    """By a campus of the run's collection. The registry has few, and few ways to combine them."""

    title = _("campus")
    parameter_name = "campus"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if is_asked_again(request) and self.value() is None:
            return []
        self.combinations = _combinations()
        return [(name, name) for name in known_campuses(self.combinations)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HarvestRun]) -> QuerySet[HarvestRun]:
        campus = self.value()
        if campus is None:
            return queryset
        having = [names for names in self.combinations if campus in map(str, names)]
        return queryset.filter(collection__campus_names__in=having)
