"""What lists can be filtered by, in the query string. What can't be meant is an error."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions
from rest_framework.request import Request

from harvest import limits, searching
from harvest.models import Collection, HarvestRun

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class YesOrNoField(forms.CharField):
    """``true`` or ``false``. Django's own takes any other word for no answer at all."""

    def clean(self, value: Any) -> bool | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return _WORDS[text.lower()]
        except KeyError:
            raise ValidationError("Write true or false.") from None


class MomentField(IsoDateTimeField):
    """A date that every database has room for, with an offset or else in UTC."""

    def clean(self, value: Any) -> datetime | None:
        moment: datetime | None = super().clean(value)
        try:
            return moment.astimezone(UTC) if moment else None
        except OverflowError:
            raise ValidationError("This date is out of range.") from None


class NumberField(forms.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=limits.MAX_INTEGER, **options)


class YesOrNo(django_filters.BooleanFilter):
    field_class = YesOrNoField


class Moment(django_filters.IsoDateTimeFilter):
    field_class = MomentField


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": limits.MAX_INTEGER})
class Number(django_filters.NumberFilter):
    field_class = NumberField

    def get_max_validator(self) -> None:
        """None: the field has its own."""


@extend_schema_field(
    {"type": "string", "minLength": 1, "maxLength": limits.MAX_ID, "pattern": r"^[^\x00]+$"}
)
class Text(django_filters.CharFilter):
    """A text as it is written, or nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=limits.MAX_ID, strip=False, **options)


class RunFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=HarvestRun.Status.choices, label="The status.")
    status_source = django_filters.ChoiceFilter(
        choices=HarvestRun.StatusSource.choices, label="What the status rests on."
    )
    stale = YesOrNo("stale_since", "isnull", exclude=True, label="Whether it has been silent too long.")
    lost = YesOrNo("lost_since", "isnull", exclude=True, label="Whether Airflow knows it no more.")
    has_errors = YesOrNo(method="filter_errors", label="Whether any of its events is an error.")
    dag_id = Text("dag_id", label="The DAG.")
    dag_run_id = Text("dag_run_id", label="The DAG run's id.")
    host = Text("host", label="Airflow's address.")
    collection = Number("collection_id", label="The id of the collection.")
    campus = Text(method="filter_campus", label="A campus of the collection.")
    q = Text(method="search", label="What the search of the admin's list would find.")
    failed_after = Moment("failed_since", "gte", label="It became failed then, or later.")
    heard_after = Moment("last_heard_at", "gte", label="The newest event is not older than this.")
    heard_before = Moment("last_heard_at", "lt", label="The newest event is older than this.")

    def filter_errors(self, runs: QuerySet[HarvestRun], name: str, value: bool) -> QuerySet[HarvestRun]:
        return runs.filter(errors__gt=0) if value else runs.filter(errors=0)

    def search(self, runs: QuerySet[HarvestRun], name: str, value: str) -> QuerySet[HarvestRun]:
        return searching.search(runs, value, searching.meanings_of_run)

    def filter_campus(self, runs: QuerySet[HarvestRun], name: str, value: str) -> QuerySet[HarvestRun]:
        return runs.filter(collection__in=_collections_of(value))


class EventOfRunFilter(django_filters.FilterSet):
    task_id = Text("task_id", label="The task.")
    error = YesOrNo("error", label="Whether it is an error.")
    dag_level = YesOrNo("dag_level", label="Whether it speaks of the run as a whole.")
    outcome = django_filters.ChoiceFilter(
        choices=HarvestRun.Status.choices, label="The run's status, were this its newest event."
    )
    published_after = Moment("sns_timestamp", "gte", label="Published then, or later.")
    published_before = Moment("sns_timestamp", "lt", label="Published earlier.")


class EventFilter(EventOfRunFilter):
    run = Number("harvest_run_id", label="The run's id.")


class Filters(DjangoFilterBackend):
    """Refuses a parameter that it does not know, or that says nothing: else a misspelt filter would
    show everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        known = {"cursor", "page_size", *view.filterset_class.base_filters}
        if wrong := dict(_find_wrong(request.query_params, known)):
            raise exceptions.ValidationError(wrong)
        rows: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows


def _find_wrong(query: QueryDict, known: Container[str]) -> Iterator[tuple[str, list[str]]]:
    for name, values in query.lists():
        if name not in known:
            yield name[: limits.MAX_LINE], ["There is no such parameter."]
        elif len(values) > 1:
            yield name, ["It can be given once."]
        elif not values[0]:
            yield name, ["It is empty: leave it out."]


def _collections_of(campus: str) -> QuerySet[Collection]:
    """Return the collections of a campus, on a database that can look into JSON or on one that can't."""
    if connection.features.supports_json_field_contains:
        return Collection.objects.filter(campus_names__contains=[campus])
    written = Cast("campus_names", TextField())
    found = Q(written__contains=json.dumps(campus))
    return Collection.objects.annotate(written=written).filter(found)
