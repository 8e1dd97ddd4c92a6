"""DAG runs: what their events say of them, or what Airflow or a person decided."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from harvest import airflow, limits
from harvest.models.registry import Collection, HarvestTrigger
from harvest.status import StaleAfter


class HarvestRunQuerySet(models.QuerySet["HarvestRun"]):
    def of(self, dag_id: str, dag_run_id: str) -> HarvestRunQuerySet:
        """Return the runs of this name on all hosts, locked until the transaction ends."""
        return (
            self.filter(dag_id=dag_id, dag_run_id=dag_run_id)
            .select_for_update(of=("self",))
            .order_by("pk")
        )

    def silent(self, stale_after: StaleAfter, now: datetime) -> HarvestRunQuerySet:
        """Return the running runs that have sent nothing for as long as their DAG may be silent."""
        silences = (stale_after.default, *stale_after.by_dag.values())
        silent = Q(last_heard_at__lte=now - stale_after.default) & ~Q(dag_id__in=stale_after.by_dag)
        for dag_id, silence in stale_after.by_dag.items():
            silent |= Q(dag_id=dag_id, last_heard_at__lte=now - silence)
        return self.filter(
            silent,
            status=HarvestRun.Status.RUNNING,
            last_heard_at__lte=now - min(silences),  # what an index can answer
        )

    def overdue(self, now: datetime, grace: timedelta) -> HarvestRunQuerySet:
        """Return the runs whose status does not tell of all their events, though the time to do that
        is over: the task is lost, or late. Who recorded them may have had a clock that was ahead."""
        return self.filter(Q(recompute_due_at__lte=now - grace) | Q(recompute_due_at__gt=now + grace))

    def ahead(self, moment: datetime) -> HarvestRunQuerySet:
        """Return the running runs that were looked at after this moment: by a clock that was ahead, so
        that what it found may not be so."""
        return self.filter(reconciled_at__gt=moment, status=HarvestRun.Status.RUNNING)

    def unlinked(self) -> HarvestRunQuerySet:
        """Return the runs whose collection has been made known since their events came."""
        known = Collection.objects.filter(pk=models.OuterRef("conf_collection_id"))
        return self.filter(models.Exists(known), collection=None, conf_collection_id__isnull=False)

    def untriggered(self) -> HarvestRunQuerySet:
        """Return the runs whose trigger has been written since their events came."""
        waiting = HarvestTrigger.objects.filter(harvest_runs=None)
        named = waiting.filter(
            dag_id=models.OuterRef("dag_id"), dag_run_id=models.OuterRef("dag_run_id")
        )
        own = named.filter(hostname__in=(models.OuterRef("host"), ""))
        # The first condition lets the database begin with the few triggers that wait.
        return self.filter(
            models.Exists(own) | Q(models.Exists(named), host=""),
            harvest_trigger=None,
            dag_run_id__in=waiting.values("dag_run_id"),
        )


class HarvestRun(models.Model):
    """One DAG run: what its events say of it, or what a person decided."""

    class Status(models.TextChoices):
        RUNNING = airflow.Outcome.RUNNING.value, _("running")
        SUCCEEDED = airflow.Outcome.SUCCEEDED.value, _("succeeded")
        FAILED = airflow.Outcome.FAILED.value, _("failed")

    class StatusSource(models.TextChoices):
        """What the status rests on."""

        EVENTS = "events", _("events")
        AIRFLOW = "airflow", _("Airflow's answer")
        PERSON = "person", _("set by hand")

    collection = models.ForeignKey(
        Collection,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="harvest_runs",
        db_index=False,  # Another index begins with it.
    )
    conf_collection_id = models.PositiveIntegerField(
        _("collection id in the conf"),
        null=True,
        blank=True,
        help_text=_("Links the run to its collection, as soon as the registry knows that."),
    )
    harvest_trigger = models.ForeignKey(
        HarvestTrigger,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="harvest_runs",
    )
    dag_id = models.CharField(_("DAG"), max_length=limits.MAX_ID)
    dag_run_id = models.CharField(_("DAG run"), max_length=limits.MAX_ID)
    logical_date = models.DateTimeField()
    dag_run_conf = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    host = models.CharField(
        max_length=limits.MAX_HOST,
        blank=True,
        default="",
        help_text=_("Airflow's address; empty while no event has named it."),
    )

    target_version = models.CharField(  # noqa: DJ001 - null where the run changes nothing
        _("version to publish"),
        max_length=limits.MAX_VERSION,
        null=True,
        blank=True,
        help_text=_("What it puts into production by its conf; empty where it unpublishes."),
    )

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.RUNNING)
    status_source = models.CharField(
        max_length=7, choices=StatusSource.choices, default=StatusSource.EVENTS
    )
    status_set_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_(
            "When a person set the status, or Airflow gave it. An event published later overrides it."
        ),
    )
    status_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    status_note = models.CharField(max_length=255, blank=True, default="")

    first_event_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Empty for a run that has sent nothing.")
    )
    last_heard_at = models.DateTimeField(
        _("last event"),
        help_text=_("Of a run that has sent nothing: when Airflow says that it started."),
    )
    tasks_done = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Tasks of which the newest event is no error.")
    )
    tasks_failed = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Tasks of which the newest event is an error.")
    )
    errors = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Events that say that something went wrong.")
    )
    failure_reason = models.CharField(
        _("newest error"),
        max_length=limits.MAX_REASON,
        blank=True,
        default="",
        editable=False,
        help_text=_("In one line: the last of the newest exception, else the reason that was given."),
    )
    stale_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When a sweep found that the run had been silent for too long."),
    )
    recompute_due_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Set while events are recorded that the status does not tell of yet."),
    )
    reconciled_at = models.DateTimeField(_("looked at"), null=True, blank=True)
    look_again_at = models.DateTimeField(
        _("next look"),
        null=True,
        blank=True,
        help_text=_("When the sweep looks again at a stale run. Each time it waits longer."),
    )
    looks = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Looks since the run fell silent.")
    )

    airflow_state = models.CharField(
        _("state in Airflow"),
        max_length=limits.MAX_STATE,
        blank=True,
        default="",
        help_text=_("Airflow's own word at the last check that it answered."),
    )
    airflow_checked_at = models.DateTimeField(_("asked Airflow"), null=True, blank=True)
    airflow_started_at = models.DateTimeField(_("started, by Airflow"), null=True, blank=True)
    airflow_ended_at = models.DateTimeField(_("ended, by Airflow"), null=True, blank=True)
    airflow_note = models.TextField(_("note in Airflow"), blank=True, default="")
    airflow_failures = models.PositiveIntegerField(
        _("checks without an answer"),
        default=0,
        help_text=_("How often in a row Airflow could not be asked."),
    )
    airflow_error = models.CharField(_("why not"), max_length=limits.MAX_REASON, blank=True, default="")
    lost_since = models.DateTimeField(
        null=True, blank=True, help_text=_("When Airflow said that it knows no such run.")
    )
    lost_reason = models.CharField(max_length=limits.MAX_REASON, blank=True, default="")

    objects = HarvestRunQuerySet.as_manager()

    class Meta:
        ordering = ("-last_heard_at", "-pk")
        permissions = (
            ("set_status", _("Can set the status of a run")),
            ("reconcile_run", _("Can have a run looked at now")),
            ("run_schedule", _("Can have a scheduled task run now")),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("dag_run_id", "dag_id", "host"),
                name="harvest_run_identity",
                # So that PostgreSQL also finds by it how an id begins, in any collation.
                opclasses=("varchar_pattern_ops",) * 3,
            ),
            models.CheckConstraint(
                name="harvest_run_status_known",
                condition=Q(status__in=[choice.value for choice in airflow.Outcome]),
            ),
            models.CheckConstraint(
                name="harvest_run_decision_has_date",
                condition=Q(status_source="events") | Q(status_set_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=("-last_heard_at", "-id"), name="run_newest_first"),
            models.Index(fields=("dag_id", "-last_heard_at", "-id"), name="run_newest_of_dag"),
            models.Index(fields=("status", "-last_heard_at", "-id"), name="run_newest_of_status"),
            models.Index(
                fields=("collection", "-last_heard_at", "-id"), name="run_newest_of_collection"
            ),
            # What is published is asked of the newest.
            models.Index(
                fields=("collection", "-logical_date"),
                condition=Q(target_version__isnull=False),
                name="run_newest_publication",
            ),
            models.Index(fields=("host", "-last_heard_at", "-id"), name="run_newest_of_host"),
            models.Index(
                fields=("-last_heard_at", "-id"),
                condition=Q(stale_since__isnull=False),
                name="run_newest_stale",
            ),
            models.Index(
                fields=("-last_heard_at", "-id"),
                condition=Q(errors__gt=0),
                name="run_newest_with_errors",
            ),
            models.Index(
                fields=("-lost_since",), condition=Q(lost_since__isnull=False), name="run_lost"
            ),
            # The sweep's questions: silent (not looked at yet, and due again), ahead, overdue, unlinked;
            # untriggered begins with the triggers.
            models.Index(
                fields=("look_again_at", "last_heard_at"),
                condition=Q(status="running"),
                name="run_silent",
            ),
            models.Index(fields=("reconciled_at",), condition=Q(status="running"), name="run_looked_at"),
            models.Index(
                fields=("recompute_due_at",),
                condition=Q(recompute_due_at__isnull=False),
                name="run_overdue",
            ),
            models.Index(
                fields=("conf_collection_id",),
                condition=Q(collection__isnull=True, conf_collection_id__isnull=False),
                name="run_unlinked",
            ),
        )

    def __str__(self) -> str:
        return f"{self.dag_id} {self.dag_run_id}"

    @property
    def key(self) -> airflow.RunKey:
        return airflow.RunKey(self.host, self.dag_id, self.dag_run_id)
