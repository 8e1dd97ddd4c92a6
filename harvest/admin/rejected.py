"""Rejected messages: what could not be understood, why, and another chance for it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import recording
from harvest.admin import parts
from harvest.admin.longlists import newest
from harvest.models import RejectedMessage


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
        (None, {"fields": ("reason", "error_text", "replayed_at")}),
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
        try:
            outcomes = [recording.replay(message) for message in queryset]
        except recording.TransientError as error:
            text = gettext("The database is busy, try again: %s") % error
            self.message_user(request, text, messages.ERROR)
            return
        recorded, rejected = outcomes.count(True), outcomes.count(False)
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

    def get_readonly_fields(self, request: HttpRequest, obj: RejectedMessage | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    @admin.display(description=_("what exactly"))
    def what(self, message: RejectedMessage) -> str:
        return parts.one_line(message.error)

    @admin.display(description=_("what exactly"))
    def error_text(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.error)

    @admin.display(description=_("the body begins"))
    def start(self, message: RejectedMessage) -> str:
        return parts.one_line(message.body[: 2 * parts.LINE_LENGTH].replace("\n", " "))

    @admin.display(description=_("body, pretty"))
    def pretty_body(self, message: RejectedMessage) -> SafeString | str:
        try:
            return parts.pretty_json(json.loads(message.whole_body))
        except (ValueError, RecursionError):
            return gettext("(not JSON)")

    @admin.display(description=_("body, raw"))
    def raw_body(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.body)

    @admin.display(description=_("SQS message"))
    def sqs(self, message: RejectedMessage) -> SafeString:
        return parts.pretty_json(message.sqs_message)
