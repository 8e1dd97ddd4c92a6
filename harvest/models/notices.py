"""Whom to tell of what, and what became of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import limits
from harvest.models.changes import RunChange
from harvest.models.registry import Collection


class Subscription(models.Model):
    """Whom to tell of which changes, and where."""

    class Channel(models.TextChoices):
        MAIL = "mail", _("mail")
        WEBHOOK = "webhook", _("webhook")

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="harvest_subscriptions"
    )
    active = models.BooleanField(default=True)
    inactive_reason = models.CharField(
        _("why not active"),
        max_length=limits.MAX_REASON,
        blank=True,
        default="",
        editable=False,
        help_text=_("Said where it was not a person who switched it off."),
    )
    kinds = models.JSONField(default=list, help_text=_("Which changes: failed, recovered, stale, lost."))
    collections = models.ManyToManyField(Collection, blank=True, related_name="+")
    campuses = models.JSONField(default=list, blank=True)
    dag_ids = models.JSONField(_("DAGs"), default=list, blank=True)
    channel = models.CharField(max_length=7, choices=Channel.choices, default=Channel.MAIL)
    address = models.CharField(max_length=2_000, help_text=_("A mail address, or the webhook's URL."))
    given_up = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Notices given up since one was last taken.")
    )
    secret_number = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Which of its secrets signs: the secrets are not stored.")
    )
    secret_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


@receiver(pre_delete, sender=Collection)
def switch_off_without_a_collection(instance: Collection, **_options: Any) -> None:
    """A subscription to no collection is one to all: that is what nobody chose whose last is deleted."""
    chosen = Subscription.collections.through.objects.filter(collection=instance)
    ids = list(chosen.values_list("subscription", flat=True))
    chosen.delete()  # of several that are deleted at once, each has to find the last
    reason = gettext(
        "Its last collection was deleted: %s. Choose others before it is switched on: without any it "
        "tells of all."
    )
    Subscription.objects.filter(pk__in=ids, collections=None).update(
        active=False, inactive_reason=(reason % instance)[: limits.MAX_REASON]
    )


class Notice(models.Model):
    """One message to one subscription about one change, or to try it, and what became of it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("given up")

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="notices")
    change = models.ForeignKey(
        RunChange,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="notices",
        help_text=_("Empty for a test."),
    )
    kind = models.CharField(max_length=9)
    content = models.JSONField(default=dict, help_text=_("What is sent, the same with each attempt."))
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=limits.MAX_REASON, blank=True, default="")
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(
        _("next attempt"), help_text=_("From when on it is handed to a worker, while it waits.")
    )
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-pk")
        constraints = (models.UniqueConstraint(fields=("subscription", "change"), name="notice_once"),)
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="notice_newest"),
            models.Index(fields=("state", "-created_at", "-id"), name="notice_newest_of_state"),
            models.Index(fields=("kind", "-created_at", "-id"), name="notice_newest_of_kind"),
            models.Index(fields=("due_at",), condition=Q(state="waiting"), name="notice_due"),
        )

    def __str__(self) -> str:
        return f"{self.kind} to {self.subscription}"
