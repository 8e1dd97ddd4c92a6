"""Rejected messages: what could not be understood, why, and another chance for it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.db.models.functions import Left, Right
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import limits, recording
from harvest.admin import parts
from harvest.admin.longlists import newest
from harvest.models import RejectedMessage

Reason = RejectedMessage.Reason

#: What a person can do, beyond what the error says. Nothing here follows an address in a message.
ADVICE = {
    Reason.SUBSCRIPTION: _(
        "SNS asks whether this queue is to be subscribed to the topic. If you expect that, confirm it "
        "with the command below; if not, do nothing. An UnsubscribeConfirmation says that the "
        "subscription has ended, and the command would renew it."
    ),
    Reason.UNSIGNED: _(
        "Raw message delivery leaves out the signature. Switch it off at the subscription. What was "
        "delivered raw can only be replayed where signatures are not verified."
    ),
    Reason.UNKNOWN_TOPIC: _(
        "If the topic is one of Rikolti's, add it to RIKOLTI_EVENTS_TOPIC_ARNS of web and worker, and "
        "replay the message. If not, find out who may send to the queue: see its policy."
    ),
    Reason.BAD_SIGNATURE: _(
        "Somebody else sent this, or changed it. Find out who may send to the queue: see its policy."
    ),
    Reason.BAD_CERTIFICATE: _(
        "If the certificate can be had by now, replay the message. If it is not SNS's, find out who may "
        "send to the queue: see its policy."
    ),
}


class WaitingFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", gettext("waiting")), ("replayed", gettext("replayed"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RejectedMessage]
    ) -> QuerySet[RejectedMessage]:
        if self.value() is None:
            return queryset
        return queryset.filter(replayed_at__isnull=self.value() == "waiting")


@admin.register(RejectedMessage)
class RejectedMessageAdmin(parts.ReadOnlyAdmin[RejectedMessage]):
    list_display = ("last_seen_at", "reason", "what", "times_seen", "start", "replayed_at")
    list_filter = (WaitingFilter, "reason")
    search_fields = ("body__contains", "error__contains")  # Ignoring case takes ten times as long.
    search_help_text = _("text of body or error as it is written, in the newest 500 messages")
    actions = ("replay",)
    fieldsets = (
        (None, {"fields": ("reason", "error_text", "advice", "command", "replayed_at")}),
        (_("Body"), {"fields": ("pretty_body", "raw_body", "body_encoding")}),
        (
            _("As received"),
            {"fields": ("times_seen", "first_seen_at", "last_seen_at", "sent_at", "sqs")},
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RejectedMessage], search_term: str
    ) -> tuple[QuerySet[RejectedMessage], bool]:
        if search_term:
            queryset = newest(queryset, "last_seen_at")
        return super().get_search_results(request, queryset, search_term)

    def has_delete_permission(self, request: HttpRequest, obj: RejectedMessage | None = None) -> bool:
        """A person who has seen to a message may let it go."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.action(description=_("Replay: record them now"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[RejectedMessage]) -> None:
        outcomes: Counter[bool | None] = Counter()
        try:
            for message in queryset:
                outcomes[_replay(message)] += 1
        except recording.TransientError as error:
            text = gettext("The database is busy, try again: %s") % error
            self.message_user(request, text, messages.ERROR)
        recorded, rejected, waiting = outcomes[True], outcomes[False], outcomes[None]
        if recorded:
            text = ngettext("%d message is recorded.", "%d messages are recorded.", recorded)
            self.message_user(request, text % recorded, messages.SUCCESS)
        if rejected:
            text = ngettext(
                "%d message is still not understood, see its reason.",
                "%d messages are still not understood, see their reasons.",
                rejected,
            )
            self.message_user(request, text % rejected, messages.WARNING)
        if waiting:
            text = ngettext(
                "%d message can't be verified now, since the certificate of SNS can't be fetched. It is "
                "kept as it was: try again later.",
                "%d messages can't be verified now, since the certificate of SNS can't be fetched. They "
                "are kept as they were: try again later.",
                waiting,
            )
            self.message_user(request, text % waiting, messages.ERROR)

    def of_list(self, queryset: QuerySet[RejectedMessage]) -> QuerySet[RejectedMessage]:
        return queryset.annotate(
            last_of_error=Right("error", limits.MAX_FETCHED),
            beginning=Left("body", 2 * limits.MAX_LINE),
        ).defer("error", "body", "sqs_message")

    def get_readonly_fields(self, request: HttpRequest, obj: RejectedMessage | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    @admin.display(description=_("what exactly"))
    def what(self, message: RejectedMessage) -> str:
        return parts.one_line(getattr(message, "last_of_error", ""))

    @admin.display(description=_("what exactly"))
    def error_text(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.error)

    @admin.display(description=_("what to do"))
    def advice(self, message: RejectedMessage) -> str:
        return str(ADVICE.get(Reason(message.reason), parts.EMPTY))

    @admin.display(description=_("command"))
    def command(self, message: RejectedMessage) -> SafeString | str:
        if message.reason != Reason.SUBSCRIPTION:
            return parts.EMPTY
        body = json.loads(message.whole_body)
        topic_arn, token = body.get("TopicArn"), body.get("Token")
        if not (isinstance(topic_arn, str) and isinstance(token, str)):
            return parts.EMPTY
        words = ("aws", "sns", "confirm-subscription", "--topic-arn", topic_arn, "--token", token)
        return parts.preformatted(shlex.join(words))

    @admin.display(description=_("the body begins"))
    def start(self, message: RejectedMessage) -> str:
        return parts.one_line(getattr(message, "beginning", "").replace("\n", " "))

    @admin.display(description=_("body, pretty"))
    def pretty_body(self, message: RejectedMessage) -> SafeString | str:
        try:
            return parts.pretty_json(json.loads(message.whole_body))
        except (ValueError, RecursionError):
            return gettext("(not JSON, or nested too deep)")

    @admin.display(description=_("body, raw"))
    def raw_body(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.body)

    @admin.display(description=_("SQS message"))
    def sqs(self, message: RejectedMessage) -> SafeString:
        return parts.pretty_json(message.sqs_message)


def _replay(message: RejectedMessage) -> bool | None:
    """Return whether a message is recorded now, or None where that can't be known yet."""
    try:
        return recording.replay(message)
    except recording.NotVerified:
        return None
