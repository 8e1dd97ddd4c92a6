"""How each run became what it is."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from harvest.models.runs import HarvestRun


class RunChange(models.Model):
    """What became of a run, and who or what decided that: the history that its page shows, and what
    people are told of."""

    class Kind(models.TextChoices):
        RUNNING = "running", _("running again")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        STALE = "stale", _("went stale")
        LOST = "lost", _("lost")

    harvest_run = models.ForeignKey(
        HarvestRun,
        on_delete=models.CASCADE,
        related_name="changes",
        db_index=False,  # Another index begins with it.
    )
    kind = models.CharField(max_length=9, choices=Kind.choices)
    before = models.CharField(max_length=9, choices=HarvestRun.Status.choices, blank=True, default="")
    source = models.CharField(max_length=7, choices=HarvestRun.StatusSource.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=255, blank=True, default="")
    changed_at = models.DateTimeField()
    quiet = models.BooleanField(
        default=False, help_text=_("Nobody is told: what was filled in is no news.")
    )
    news = models.CharField(
        max_length=9, blank=True, default="", help_text=_("What people were told of it, if it was news.")
    )
    considered_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("When it was decided whether it is news; empty until then."),
    )

    class Meta:
        ordering = ("-changed_at", "-pk")
        indexes = (
            models.Index(fields=("harvest_run", "-changed_at", "-id"), name="change_newest_of_run"),
            models.Index(fields=("-changed_at",), name="change_newest"),
            # What people may have to be told of.
            models.Index(
                fields=("changed_at",),
                condition=Q(considered_at__isnull=True),
                name="change_unconsidered",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} at {self.changed_at:%Y-%m-%d %H:%M:%S} UTC"
