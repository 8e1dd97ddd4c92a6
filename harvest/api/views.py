"""The resources: runs, their events, and health."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from harvest.api import answers, filters, paging
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage

SEE_RUNS = ("harvest.view_harvestrun", "harvest.view_collection")
SEE_EVENTS = ("harvest.view_harvestevent",)
SEE_HEALTH = ("harvest.view_harvestrun", "harvest.view_rejectedmessage")


class RunViews(viewsets.ReadOnlyModelViewSet[HarvestRun]):
    """Runs, the one with the newest event first."""

    permissions_needed = SEE_RUNS
    pagination_class = paging.RunPages
    filterset_class = filters.RunFilter
    filter_backends = (filters.Filters,)
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[HarvestRun]:
        runs = HarvestRun.objects.select_related("collection")
        return runs.defer("dag_run_conf", "airflow_note") if self.action == "list" else runs

    def get_serializer_class(self) -> type[answers.RunAnswer]:
        return answers.RunAnswer if self.action == "list" else answers.WholeRunAnswer


class EventViews(viewsets.ReadOnlyModelViewSet[HarvestEvent]):
    """Events of all runs, the newest first."""

    permissions_needed = SEE_EVENTS
    pagination_class = paging.EventPages
    filterset_class: type[filters.EventOfRunFilter] = filters.EventFilter
    filter_backends = (filters.Filters,)
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[HarvestEvent]:
        events = HarvestEvent.objects.select_related("harvest_run").defer(
            "harvest_run__dag_run_conf", "harvest_run__airflow_note"
        )
        if self.action != "retrieve":
            events = events.defer("dag_run_conf", "rikolti_message", "sqs_message", "sns_message")
        return events

    def get_serializer_class(self) -> type[answers.EventAnswer]:
        return answers.WholeEventAnswer if self.action == "retrieve" else answers.EventAnswer


class EventsOfRunViews(EventViews):
    """Events of one run, the newest first."""

    filterset_class = filters.EventOfRunFilter

    def get_queryset(self) -> QuerySet[HarvestEvent]:
        return super().get_queryset().filter(harvest_run=self.kwargs.get("run_id"))

    @extend_schema(parameters=[OpenApiParameter("run_id", int, OpenApiParameter.PATH)])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not HarvestRun.objects.filter(pk=kwargs["run_id"]).exists():
            raise exceptions.NotFound("There is no run with this id.")
        return super().list(request, *args, **kwargs)


class HealthView(APIView):
    """How it all stands, in numbers."""

    permissions_needed = SEE_HEALTH

    @extend_schema(responses=answers.HealthAnswer)
    def get(self, request: Request) -> Response:
        runs, status = HarvestRun.objects, HarvestRun.Status
        running, failed = runs.filter(status=status.RUNNING), runs.filter(status=status.FAILED)
        yesterday = timezone.now() - timedelta(days=1)
        return Response(
            {
                "running": answers.count(running),
                "failed": answers.count(failed),
                "failed_last_day": answers.count(failed.filter(last_heard_at__gte=yesterday)),
                "stale": answers.count(running.filter(stale_since__isnull=False)),
                "lost": answers.count(runs.filter(lost_since__isnull=False)),
                "rejected_waiting": answers.count(RejectedMessage.objects.filter(replayed_at=None)),
            }
        )


@extend_schema(exclude=True)
class NothingView(APIView):
    """Whatever else is asked for below /api/: an answer in JSON, as all others."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound("There is no such address. /api/schema/ describes those there are.")
