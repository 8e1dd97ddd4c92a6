"""What could not be understood."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from harvest import strictjson
from harvest.errors import Malformed
from harvest.sns import SqsMessage


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
        permissions = (("replay_message", _("Can replay rejected messages")),)
        indexes = (
            models.Index(fields=("-last_seen_at",), name="rejected_newest"),
            models.Index(
                fields=("-last_seen_at",),
                condition=Q(replayed_at__isnull=True),
                name="rejected_waiting",
            ),
            models.Index(
                fields=("replayed_at",),
                condition=Q(replayed_at__isnull=False),
                name="rejected_replayed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_reason_display()} at {self.last_seen_at:%Y-%m-%d %H:%M:%S} UTC"

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
