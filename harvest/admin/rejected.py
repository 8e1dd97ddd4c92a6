"""Rejected messages: what could not be understood, why, and another chance for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import structlog
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Left, Right
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from harvest import limits
from harvest.admin import jsontree, moments, parts, replay
from harvest.errors import MalformedMessage
from harvest.models import HarvestEvent, RejectedMessage
from harvest.searching import newest
from harvest.sns import MESSAGE, publication_id
from harvest.strictjson import mend, read_json_as_written
from harvest.whereabouts import Place, find_place

logger = structlog.stdlib.get_logger(__name__)

Reason = RejectedMessage.Reason

_ASK_THE_PUBLISHER = _(
    "Show this page to who looks after Rikolti's publisher, if the message is one of its. If it is to "
    "be understood as it is, have this code changed, and replay the message then. Else delete it."
)
_NO_EVENT = _(
    "Events are JSON objects. If it came by Rikolti's topic, show this page to who looks after its "
    "publisher; if not, find out who may send to the queue: see its policy. A replay does not help; you "
    "may delete it."
)

#: What a person can do about each reason, beyond what the error says. Nothing here follows an address in
#: a message.
ADVICE = {
    Reason.NOT_JSON: _NO_EVENT,
    Reason.UNREASONABLE: _NO_EVENT,
    Reason.NOT_AN_OBJECT: _NO_EVENT,
    Reason.MISSING_KEY: _ASK_THE_PUBLISHER,
    Reason.WRONG_TYPE: _ASK_THE_PUBLISHER,
    Reason.BAD_STRING: _ASK_THE_PUBLISHER,
    Reason.BAD_DATE: _ASK_THE_PUBLISHER,
    Reason.UNKNOWN_VERSION: _(
        "Rikolti's publisher is newer than this code. Bring this code up to date, and replay the "
        "message then: its run lacks it until it is."
    ),
    Reason.FAULT: _(
        "The fault is in this code, not in the message. Report the traceback above, and replay the "
        "message when that is mended: its run lacks it until it is."
    ),
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
    change_form_outer_before_template = "harvest/rejected.html"
    fieldsets = (
        (None, {"fields": ("reason", "error_text", "place", "advice", "command", "outcome")}),
        (_("Body"), {"fields": ("pretty_body",)}),
        (
            _("Body, character for character"),
            {"classes": ("collapse",), "fields": ("raw_body", "body_encoding")},
        ),
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
        return request.user.has_perm("harvest.replay_message")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.replay_one)
        address = path("<path:object_id>/replay/", view, name="harvest_rejectedmessage_replay")
        return [address, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["may_replay"] = self.has_replay_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def replay_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_replay_permission(request):
            raise PermissionDenied
        message = self.get_object(request, object_id)
        if message is None:
            raise Http404
        self.replay(request, RejectedMessage.objects.filter(pk=message.pk))
        return HttpResponseRedirect(reverse("admin:harvest_rejectedmessage_change", args=[message.pk]))

    @admin.action(description=_("Replay: record them now"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[RejectedMessage]) -> None:
        most = limits.MAX_REPLAYED * limits.MAX_REPLAYED_SLICES
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: most + 1])
        if len(ids) > limits.MAX_REPLAYED:
            self._replay_by_workers(request, ids[:most], more=len(ids) > most)
            return
        replayed = replay.replay_here(queryset)
        for level, text in replay.words_of(replayed):
            self.message_user(request, text, level)

    def _replay_by_workers(self, request: HttpRequest, ids: Sequence[int], *, more: bool) -> None:
        sent, refused = replay.replay_by_workers(ids)
        if sent:
            text = ngettext(
                "%d message is being replayed by the workers: see the task results.",
                "%d messages are being replayed by the workers: see the task results.",
                sent,
            )
            self.message_user(request, text % sent, messages.SUCCESS)
        if refused:
            self.message_user(request, refused, messages.ERROR)
        elif more:
            text = gettext("There are more: replay them when these are done.")
            self.message_user(request, text, messages.WARNING)

    def of_list(self, queryset: QuerySet[RejectedMessage]) -> QuerySet[RejectedMessage]:
        return queryset.annotate(
            last_of_error=Right("error", limits.MAX_FETCHED),
            beginning=Left("body", 2 * limits.MAX_LINE),
        ).defer("error", "body", "sqs_message")

    def get_fieldsets(self, request: HttpRequest, obj: RejectedMessage | None = None) -> Any:
        """There is a command for some, and no empty row for the others."""
        (title, options), *others = super().get_fieldsets(request, obj)
        if obj is None or self.command(obj) == parts.EMPTY:
            fields = tuple(name for name in options["fields"] if name != "command")
            options = {**options, "fields": fields}
        return ((title, options), *others)

    def get_readonly_fields(self, request: HttpRequest, obj: RejectedMessage | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    @admin.display(description=_("what exactly"))
    def what(self, message: RejectedMessage) -> str:
        return parts.one_line(getattr(message, "last_of_error", ""))

    @admin.display(description=_("what exactly"))
    def error_text(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.error)

    @admin.display(description=_("where in the body"))
    def place(self, message: RejectedMessage) -> SafeString | str:
        place = _place_of(message)
        if place is None:
            return parts.EMPTY
        where = " → ".join(place.path) or gettext("the body")
        if place.line is None:
            return format_html("<bdi>{}</bdi>", mend(where))
        return format_html(
            "<p><bdi>{}</bdi>: {}</p>"
            '<pre class="as-written">{}<mark class="wrong-here">{}</mark>{}</pre>',
            mend(where),
            gettext("line %(line)d, column %(column)d") % {"line": place.line, "column": place.column},
            mend(place.before),
            mend(place.after[:1]) or gettext("(the end)"),
            mend(place.after[1:]),
        )

    @admin.display(description=_("replayed"))
    def outcome(self, message: RejectedMessage) -> SafeString | str:
        """Return when a message was recorded after all, and the run that it went into."""
        if message.replayed_at is None:
            if message.times_seen > 1:
                return gettext("no: it was seen again, and the reason above is the newest")
            return gettext("not yet")
        event = (
            HarvestEvent.objects.filter(message_id=publication_id(message.to_sqs_message()))
            .select_related("harvest_run")
            .only("harvest_run__dag_id", "harvest_run__dag_run_id")
            .first()
        )
        if event is None:
            return moments.moment(message.replayed_at)
        moment, run = moments.moment(message.replayed_at), parts.page_link(event.harvest_run)
        return format_html("{}, {} {}", moment, gettext("into the run"), run)

    @admin.display(description=_("what to do"))
    def advice(self, message: RejectedMessage) -> str:
        return str(ADVICE[Reason(message.reason)])

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
            body = read_json_as_written(message.whole_body)
        except MalformedMessage:
            return gettext("(not JSON, or nested too deep: see it as it is, below)")
        return jsontree.tree(_with_message(body))

    @admin.display(description=_("body, raw"))
    def raw_body(self, message: RejectedMessage) -> SafeString:
        return parts.preformatted(message.body)

    @admin.display(description=_("SQS message"))
    def sqs(self, message: RejectedMessage) -> SafeString:
        return jsontree.tree(message.sqs_message)


def _place_of(message: RejectedMessage) -> Place | None:
    """Return where in a body it goes wrong, if that is what it was rejected for."""
    try:
        place = find_place(message.to_sqs_message())
    except Exception:  # The page of a body that our own code can't take must open all the more.
        logger.exception("place_search_failed", rejected_message_id=message.pk)
        return None
    return place if place is not None and place.reason.value == message.reason else None


def _with_message(body: Any) -> Any:
    """Return a body with the JSON in its Message in place of the text, where it is any."""
    text = body.get(MESSAGE) if isinstance(body, dict) else None
    if not isinstance(text, str):
        return body
    try:
        return {**body, MESSAGE: read_json_as_written(text)}
    except MalformedMessage:
        return body
