"""Who of the pipeline's processes is alive."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Heartbeat(models.Model):
    """The last sign of life of one part of one process. A part that ends in order removes it."""

    class Part(models.TextChoices):
        BEAT = "beat", _("Beat: its last tick.")
        WORKER = "worker", _("A worker: the last turn of its loop.")
        CONSUMER = "consumer", _("A worker's consumer: its last poll of the raw queue.")

    part = models.CharField(max_length=16, choices=Part.choices)
    host = models.CharField(max_length=255, help_text=_("The node's name, such as celery@host."))
    at = models.DateTimeField(help_text=_("By the database's clock."))

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("part", "host"), name="heartbeat_one_per_part_and_host"),
        )

    def __str__(self) -> str:
        return f"{self.part} of {self.host} at {self.at:%Y-%m-%d %H:%M:%S}"
