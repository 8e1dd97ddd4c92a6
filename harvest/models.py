"""The tables, and the constraints and indexes that the code relies on.

Columns keep the registry's names, which its users know. What the pipeline writes is written by
:mod:`harvest.recording` alone.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from harvest import airflow, limits, strictjson
from harvest.errors import Malformed
from harvest.sns import SqsMessage
from harvest.status import StaleAfter


class Collection(models.Model):
    """A collection of the registry, by its own id."""

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=255, blank=True)
    campus_names = models.JSONField(default=list, blank=True)
    harvest_type = models.CharField(max_length=255, blank=True)
    mapper_type = models.CharField(max_length=255, blank=True)
    production_target_version = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("name",)
        indexes = (
            # Less for finding than for PostgreSQL's statistics: without them it takes a search for part
            # of a name to find next to nothing, and plans accordingly.
            models.Index(Upper("name"), name="collection_name"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class HarvestTrigger(models.Model):
    """A person's request to Airflow to start a run, and what Airflow answered."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="harvest_triggers")
    dag_id = models.CharField(_("DAG"), max_length=limits.MAX_ID)
    dag_run_id = models.CharField(_("DAG run"), max_length=limits.MAX_ID)
    logical_date = models.DateTimeField()
    hostname = models.CharField(max_length=limits.MAX_HOST, blank=True)
    stdout = models.TextField(blank=True)
    stderr = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-logical_date",)
        indexes = (
            # A run looks for its trigger by these.
            models.Index(fields=("dag_id", "dag_run_id"), name="trigger_of_run"),
            models.Index(fields=("-logical_date",), name="trigger_newest"),
        )

    def __str__(self) -> str:
        return f"{self.dag_id} {self.dag_run_id}"


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
        silent = Q(last_event_at__lte=now - stale_after.default) & ~Q(dag_id__in=stale_after.by_dag)
        for dag_id, silence in stale_after.by_dag.items():
            silent |= Q(dag_id=dag_id, last_event_at__lte=now - silence)
        return self.filter(silent, status=HarvestRun.Status.RUNNING)

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
        own = waiting.filter(
            dag_id=models.OuterRef("dag_id"),
            dag_run_id=models.OuterRef("dag_run_id"),
            logical_date=models.OuterRef("logical_date"),
        )
        # The first condition lets the database begin with the few triggers that wait.
        return self.filter(
            models.Exists(own), harvest_trigger=None, dag_run_id__in=waiting.values("dag_run_id")
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
        PERSON = "person", _("set by hand")

    collection = models.ForeignKey(
        Collection, on_delete=models.SET_NULL, null=True, blank=True, related_name="harvest_runs"
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

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.RUNNING)
    status_source = models.CharField(
        max_length=6, choices=StatusSource.choices, default=StatusSource.EVENTS
    )
    status_set_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When a person set the status. An event published later overrides it."),
    )
    status_note = models.CharField(max_length=255, blank=True, default="")

    first_event_at = models.DateTimeField()
    last_event_at = models.DateTimeField()
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
    reconciled_at = models.DateTimeField(null=True, blank=True)

    objects = HarvestRunQuerySet.as_manager()

    class Meta:
        ordering = ("-last_event_at", "-pk")
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
                name="harvest_run_person_has_date",
                condition=~Q(status_source="person") | Q(status_set_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=("-last_event_at", "-id"), name="run_newest_first"),
            models.Index(fields=("dag_id", "-last_event_at", "-id"), name="run_newest_of_dag"),
            # The sweep's questions: silent, overdue, unlinked; untriggered begins with the triggers.
            models.Index(
                fields=("reconciled_at", "last_event_at"),
                condition=Q(status="running"),
                name="run_silent",
            ),
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
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ("-sns_timestamp", "-dag_level", "-message_id")
        constraints = (
            # Not unique=True, with which PostgreSQL gets a second index, for LIKE.
            models.UniqueConstraint(fields=("message_id",), name="event_once"),
        )
        indexes = (
            # The fold over a run's events reads no more than the newest of them.
            models.Index(fields=("harvest_run", "-sns_timestamp"), name="event_newest_of_run"),
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
            # It is searched by how a task's name begins.
            models.Index(fields=("task_id",), opclasses=("varchar_pattern_ops",), name="event_task"),
        )

    def __str__(self) -> str:
        return f"{self.task_id or self.get_outcome_display()} at {self.sns_timestamp:%Y-%m-%d %H:%M:%S}"


class RejectedMessage(models.Model):
    """A message that could not be understood or recorded, kept whole until a person has seen to it."""

    class Reason(models.TextChoices):
        NOT_JSON = Malformed.NOT_JSON.value, _("not JSON")
        UNREASONABLE = (
            Malformed.UNREASONABLE.value,
            _("nested too deep, a number too long, or a key twice"),
        )
        NOT_AN_OBJECT = Malformed.NOT_AN_OBJECT.value, _("JSON, but not an object")
        SUBSCRIPTION = Malformed.SUBSCRIPTION.value, _("subscription to confirm by hand")
        UNSIGNED = Malformed.UNSIGNED.value, _("not signed, delivered raw")
        UNKNOWN_TOPIC = Malformed.UNKNOWN_TOPIC.value, _("of a topic that is not ours")
        BAD_SIGNATURE = Malformed.BAD_SIGNATURE.value, _("not what SNS signed")
        BAD_CERTIFICATE = Malformed.BAD_CERTIFICATE.value, _("not signed by a certificate of SNS")
        MISSING_KEY = Malformed.MISSING_KEY.value, _("a required key is missing")
        WRONG_TYPE = Malformed.WRONG_TYPE.value, _("a value has the wrong type")
        BAD_STRING = Malformed.BAD_STRING.value, _("a name is too long, or no text")
        BAD_DATE = Malformed.BAD_DATE.value, _("a date that is none")
        UNKNOWN_VERSION = Malformed.UNKNOWN_VERSION.value, _("unknown version")
        FAULT = "fault", _("our own fault, see the traceback")

    class Encoding(models.TextChoices):
        PLAIN = "plain", _("as it came")
        JSON = "json", _("as a JSON string, since the database takes no such characters")

    digest = models.CharField(
        max_length=64,
        unique=True,
        editable=False,
        help_text=_("SHA-256 of the publication's id and the body."),
    )
    body = models.TextField()
    body_encoding = models.CharField(max_length=5, choices=Encoding.choices, default=Encoding.PLAIN)
    reason = models.CharField(max_length=16, choices=Reason.choices)
    error = models.TextField(help_text=_("What exactly, or the traceback."))
    sqs_message = models.JSONField(default=dict, blank=True)
    sent_at = models.DateTimeField(help_text=_("When the queue took the first copy."))
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times_seen = models.PositiveIntegerField(
        default=1, help_text=_("How often it was received or replayed.")
    )
    replayed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When it was understood after all, and recorded.")
    )

    class Meta:
        ordering = ("-last_seen_at",)
        indexes = (
            models.Index(fields=("-last_seen_at",), name="rejected_newest"),
            models.Index(
                fields=("-last_seen_at",),
                condition=Q(replayed_at__isnull=True),
                name="rejected_waiting",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_reason_display()} at {self.last_seen_at:%Y-%m-%d %H:%M:%S}"

    @property
    def whole_body(self) -> str:
        """The body, character for character as it was received."""
        if self.body_encoding == self.Encoding.JSON:
            return str(json.loads(self.body))
        return self.body

    @classmethod
    def store_body(cls, body: str) -> dict[str, Any]:
        """Return the fields that keep a body whole, whatever characters it has."""
        if strictjson.is_storable(body):
            return {"body": body, "body_encoding": cls.Encoding.PLAIN}
        return {"body": json.dumps(body), "body_encoding": cls.Encoding.JSON}

    def to_sqs_message(self) -> SqsMessage:
        """Return the message as it was received."""
        return SqsMessage(
            message_id=self.sqs_message.get("MessageId", ""),
            body=self.whole_body,
            receipt_handle=self.sqs_message.get("ReceiptHandle", ""),
            md5_of_body=self.sqs_message.get("MD5OfBody", ""),
            sent_at=self.sent_at,
        )
