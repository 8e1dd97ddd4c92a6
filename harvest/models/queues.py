"""How full the queues were, and what was done with their dead letters."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from harvest import limits


class QueueReading(models.Model):
    """How full a queue was at one moment."""

    queue = models.CharField(max_length=limits.MAX_QUEUE)
    source = models.CharField(
        _("dead letters of"),
        max_length=limits.MAX_QUEUE,
        blank=True,
        default="",
        help_text=_("Of a dead-letter queue: the queue that its messages come from."),
    )
    read_at = models.DateTimeField()
    visible = models.PositiveIntegerField(help_text=_("Messages that wait."))
    in_flight = models.PositiveIntegerField(help_text=_("Messages that are received, not yet deleted."))
    oldest_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When the oldest message that was seen was sent; empty where that is not known."),
    )

    class Meta:
        ordering = ("-read_at", "queue")
        indexes = (
            models.Index(fields=("queue", "-read_at"), name="reading_newest_of_queue"),
            models.Index(fields=("-read_at",), name="reading_newest"),
        )
        permissions = (("redrive_queue", _("Can redrive dead letters")),)

    def __str__(self) -> str:
        return f"{self.queue}: {self.visible} at {self.read_at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def threshold(self) -> int:
        """How many messages may wait: of dead letters none, each being work that was not done."""
        return 0 if self.source else settings.QUEUE_WARN_DEPTH

    @property
    def is_over(self) -> bool:
        """Whether more messages wait than should."""
        return self.visible > self.threshold


class RedriveQuerySet(models.QuerySet["Redrive"]):
    def open(self) -> RedriveQuerySet:
        """Return those that have not ended."""
        return self.filter(ended_at=None)

    def left_alone(self, now: datetime, grace: timedelta) -> RedriveQuerySet:
        """Return those that nobody has gone on with for so long: a task or a command was lost."""
        return self.open().filter(Q(touched_at__lte=now - grace) | Q(touched_at__gt=now + grace))


class Redrive(models.Model):
    """Dead letters taken up again: who began it, how far it is, and how it ended."""

    class Kind(models.TextChoices):
        """Which dead letters."""

        EVENTS = "events", _("raw messages")
        TASKS = "tasks", _("tasks")

    class Way(models.TextChoices):
        """Who takes them off the dead-letter queue."""

        UNDECIDED = "", _("not begun")
        MOVE = "move", _("moved by SQS")
        SINGLY = "singly", _("one by one")

    kind = models.CharField(max_length=6, choices=Kind.choices)
    queue = models.CharField(max_length=limits.MAX_QUEUE, help_text=_("The dead-letter queue."))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty where a command began it."),
    )
    way = models.CharField(max_length=6, choices=Way.choices, blank=True, default=Way.UNDECIDED)
    most = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Messages to take at most; empty for all.")
    )
    total = models.PositiveIntegerField(
        help_text=_("Messages that waited when it began, as far as SQS knew.")
    )
    taken = models.PositiveIntegerField(
        default=0, help_text=_("Messages that have left the dead-letter queue.")
    )
    rejected = models.PositiveIntegerField(
        default=0, help_text=_("Those of them that are rejected messages now.")
    )
    slices = models.PositiveIntegerField(default=0, editable=False)
    started_at = models.DateTimeField()
    touched_at = models.DateTimeField(help_text=_("When it last went on."))
    ended_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=limits.MAX_REASON, blank=True, default="")

    objects = RedriveQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("kind",), condition=Q(ended_at=None), name="one_redrive_at_a_time"
            ),
        )
        indexes = (models.Index(fields=("-started_at",), name="redrive_newest"),)

    def __str__(self) -> str:
        return f"{self.queue} at {self.started_at:%Y-%m-%d %H:%M:%S} UTC"
