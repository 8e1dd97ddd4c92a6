"""What runs published."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import F, Func, Q, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext_lazy as _

from harvest import airflow, limits
from harvest.models.registry import Collection
from harvest.models.runs import HarvestRun

#: How many events that tell a version are read of each collection: those of some ten harvests.
VERSION_EVENTS = 30


class HarvestEventQuerySet(models.QuerySet["HarvestEvent"]):
    def versions_of(self, collection_ids: Iterable[int]) -> dict[int, list[str]]:
        """Return the versions that each collection's newest succeeded harvests made, newest first."""
        of_its_collection = Window(
            RowNumber(), partition_by="collection", order_by=("-sns_timestamp", "-message_id")
        )
        told = (
            self.filter(collection__in=collection_ids)
            .exclude(version="")
            .filter(harvest_run__dag_id=airflow.HARVEST, harvest_run__status=HarvestRun.Status.SUCCEEDED)
            .annotate(place=of_its_collection)
            .filter(place__lte=VERSION_EVENTS)
            .order_by("place")
        )
        versions: dict[int, list[str]] = {}
        for collection_id, version in told.values_list("collection_id", "version"):
            of_one = versions.setdefault(collection_id, [])
            if version not in of_one:
                of_one.append(version)
        return versions


def task_index() -> Func:
    """Return an event's map_index, or -1 where it has none: not mapped, whoever published it.

    As SQL without parameters, by which SQLite would not know the expression of an index.
    """
    return Func(F("map_index"), function="COALESCE", template="%(function)s(%(expressions)s, -1)")


#: Filters that hardly go together, by the name of the index that finds the few such events, if any. To
#: find none, all of one filter would be read.
ODD = {
    "event_odd_error": Q(error=True) & ~Q(outcome="failed"),
    "event_odd_failure": Q(error=False, outcome="failed"),
    "event_odd_dag": Q(dag_level=True, outcome="running"),
    "event_odd_success": Q(dag_level=False, outcome="succeeded"),
}


class HarvestEvent(models.Model):
    """One event of a run, stored once however often it was delivered."""

    message_id = models.CharField(
        max_length=limits.MAX_MESSAGE_ID,
        help_text=_("The publication's id, the same in each of its copies."),
    )
    harvest_run = models.ForeignKey(
        HarvestRun,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,  # Another index begins with it.
    )
    collection = models.ForeignKey(
        Collection, on_delete=models.SET_NULL, null=True, blank=True, related_name="harvest_events"
    )
    sns_timestamp = models.DateTimeField(_("published"))
    task_id = models.CharField(  # noqa: DJ001 - null where there is no task
        _("task"),
        max_length=limits.MAX_ID,
        null=True,
        blank=True,
    )
    try_number = models.IntegerField(null=True, blank=True)
    map_index = models.IntegerField(null=True, blank=True)
    rikolti_message = models.JSONField(null=True, blank=True)
    version = models.CharField(
        max_length=limits.MAX_VERSION,
        blank=True,
        default="",
        help_text=_("That of the collection's data which the task made."),
    )
    error = models.BooleanField(default=False)
    dag_level = models.BooleanField(
        default=False, help_text=_("Speaks of the run as a whole, not of a task.")
    )
    outcome = models.CharField(
        max_length=9,
        choices=HarvestRun.Status.choices,
        help_text=_("The run's status, were this its newest event."),
    )
    host = models.CharField(max_length=limits.MAX_HOST, blank=True, default="")
    logical_date = models.DateTimeField()
    dag_run_conf = models.JSONField(default=dict, blank=True)
    sqs_message = models.JSONField(default=dict, blank=True)
    sns_message = models.JSONField(default=dict, blank=True)
    has_envelopes = models.BooleanField(
        default=True,
        db_default=True,  # for what inserts without it: a worker of the version before
        editable=False,
        help_text=_("The two above are emptied after a while."),
    )
    recorded_at = models.DateTimeField()

    objects = HarvestEventQuerySet.as_manager()

    class Meta:
        ordering = ("-sns_timestamp", "-dag_level", "-message_id")
        constraints = (
            # Not unique=True, with which PostgreSQL gets a second index, for LIKE.
            models.UniqueConstraint(fields=("message_id",), name="event_once"),
        )
        indexes = (
            # The fold over a run's events reads no more than the newest of them.
            models.Index(fields=("harvest_run", "-sns_timestamp"), name="event_newest_of_run"),
            # A run's page counts and lists by task and map index, of any number of events, from the
            # index alone.
            models.Index(
                fields=(
                    "harvest_run",
                    "task_id",
                    "map_index",
                    "sns_timestamp",
                    "try_number",
                    "error",
                ),
                name="event_of_task",
            ),
            models.Index(fields=("-sns_timestamp",), name="event_newest"),
            # The list of runs says of each why it failed.
            models.Index(
                fields=("harvest_run", "-sns_timestamp"),
                condition=Q(error=True),
                name="event_newest_error",
            ),
            # The list of events is filtered by the few that end a run, or would.
            models.Index(
                fields=("outcome", "-sns_timestamp"),
                condition=~Q(outcome="running"),
                name="event_newest_of_outcome",
            ),
            models.Index(
                fields=("-sns_timestamp",),
                condition=Q(dag_level=True),
                name="event_newest_of_dag",
            ),
            # One index for the four is none that PostgreSQL would choose.
            *(
                models.Index(fields=("-sns_timestamp",), condition=condition, name=name)
                for name, condition in ODD.items()
            ),
            # The versions that a collection has.
            models.Index(
                fields=("collection", "-sns_timestamp"),
                condition=~Q(version=""),
                name="event_newest_version",
            ),
            # Each event that is stored asks what its task said last.
            models.Index(
                F("harvest_run"),
                F("task_id"),
                task_index(),
                F("sns_timestamp").desc(),
                F("error").desc(),
                condition=Q(task_id__isnull=False),
                name="event_newest_of_task",
            ),
            # What is to be emptied, however many have been.
            models.Index(
                fields=("recorded_at",), condition=Q(has_envelopes=True), name="event_with_envelopes"
            ),
            # It is searched by how a task's name begins.
            models.Index(fields=("task_id",), opclasses=("varchar_pattern_ops",), name="event_task"),
        )

    def __str__(self) -> str:
        what = self.task_id or self.get_outcome_display()
        return f"{what} at {self.sns_timestamp:%Y-%m-%d %H:%M:%S} UTC"
