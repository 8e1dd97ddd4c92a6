"""What is answered of runs, events, and the state of it all."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from harvest import limits, telling
from harvest.airflow_api import version_of
from harvest.airflowpages import log_page, run_page
from harvest.models import Collection, HarvestEvent, HarvestRun
from harvest.wording import one_line


class CollectionAnswer(serializers.ModelSerializer[Collection]):
    campuses = serializers.JSONField(source="campus_names", help_text="Usually a list of names.")

    class Meta:
        model = Collection
        fields = ("id", "name", "campuses")


class RunAnswer(serializers.ModelSerializer[HarvestRun]):
    """A run, as a list has it."""

    collection = CollectionAnswer(
        allow_null=True, help_text="Null where the conf names none, or one that is not in the registry."
    )
    why = serializers.SerializerMethodField(help_text="Why it failed, in one line; else empty.")
    url = serializers.SerializerMethodField(help_text="Its page.")
    airflow_url = serializers.SerializerMethodField(help_text="Its page in Airflow.")

    class Meta:
        model = HarvestRun
        fields: tuple[str, ...] = (
            "id",
            "status",
            "status_source",
            "stale_since",
            "lost_since",
            "why",
            "tasks_done",
            "tasks_failed",
            "collection",
            "conf_collection_id",
            "dag_id",
            "dag_run_id",
            "logical_date",
            "host",
            "first_event_at",
            "last_heard_at",
            "url",
            "airflow_url",
        )

    def get_why(self, run: HarvestRun) -> str:
        return one_line(run.failure_reason, limits.MAX_REASON)

    @extend_schema_field(serializers.URLField())
    def get_url(self, run: HarvestRun) -> str:
        return telling.public_url("admin:harvest_harvestrun_change", run.pk)

    def get_airflow_url(self, run: HarvestRun) -> str | None:
        return run_page(run.key, version_of(run.host))


class WholeRunAnswer(RunAnswer):
    """A run by itself, with all that is known of it."""

    class Meta(RunAnswer.Meta):
        fields = (
            *RunAnswer.Meta.fields,
            "dag_run_conf",
            "status_set_at",
            "status_note",
            "lost_reason",
            "reconciled_at",
            "look_again_at",
            "airflow_state",
            "airflow_checked_at",
            "airflow_started_at",
            "airflow_ended_at",
            "airflow_error",
        )


class EventAnswer(serializers.ModelSerializer[HarvestEvent]):
    """An event, as a list has it: without what its task said."""

    run = serializers.IntegerField(source="harvest_run_id", help_text="The run's id.")
    published_at = serializers.DateTimeField(source="sns_timestamp")
    log_url = serializers.SerializerMethodField(help_text="The log of its task in Airflow.")

    class Meta:
        model = HarvestEvent
        fields: tuple[str, ...] = (
            "id",
            "message_id",
            "run",
            "published_at",
            "recorded_at",
            "task_id",
            "try_number",
            "map_index",
            "error",
            "dag_level",
            "outcome",
            "log_url",
        )

    def get_log_url(self, event: HarvestEvent) -> str | None:
        if event.task_id is None:
            return None
        run = event.harvest_run
        return log_page(run.key, event.task_id, event.map_index, version_of(run.host))


class WholeEventAnswer(EventAnswer):
    """An event by itself, whole."""

    class Meta(EventAnswer.Meta):
        fields = (
            *EventAnswer.Meta.fields,
            "host",
            "logical_date",
            "dag_run_conf",
            "rikolti_message",
            "sqs_message",
            "sns_message",
        )


#: Counts stop here: that there are more says enough, and an endless one would take for ever.
MOST_COUNTED = 10_000


class HealthAnswer(serializers.Serializer[Any]):
    """How many there are now, 10,000 standing for that and more."""

    running = serializers.IntegerField(help_text="Runs that run, the stale and the lost among them.")
    failed = serializers.IntegerField(help_text="Runs that failed, of all times.")
    failed_last_day = serializers.IntegerField(
        help_text="Runs that failed, whose newest event is of the last 24 hours."
    )
    stale = serializers.IntegerField(help_text="Runs that run, and have been silent for too long.")
    lost = serializers.IntegerField(help_text="Runs that Airflow knows no more.")
    rejected_waiting = serializers.IntegerField(
        help_text="Messages that were not understood, and not replayed since."
    )


def count(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, as far as they are counted."""
    return rows.order_by().values("pk")[:MOST_COUNTED].count()
