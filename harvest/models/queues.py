"""How full the queues were."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from harvest import limits


class QueueReading(models.Model):
    """How full a queue was at one moment."""

    queue = models.CharField(max_length=limits.MAX_QUEUE)
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
        indexes = (models.Index(fields=("queue", "-read_at"), name="reading_newest_of_queue"),)

    def __str__(self) -> str:
        return f"{self.queue}: {self.visible} at {self.read_at:%Y-%m-%d %H:%M:%S}"
