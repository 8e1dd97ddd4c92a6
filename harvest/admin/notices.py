"""Notices: what was told to whom, and what became of it."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from harvest import delivery
from harvest.admin import moments, parts
from harvest.admin.longlists import ValuesFilter
from harvest.models import Notice


@admin.register(Notice)
class NoticeAdmin(parts.ReadOnlyAdmin[Notice]):
    list_display = (
        "created_at",
        "kind",
        "subscription",
        "run",
        "state_word",
        "attempts",
        "next_attempt",
        "error",
    )
    list_filter = ("state", ("kind", ValuesFilter), "created_at")
    list_select_related = ("subscription", "change__harvest_run")
    show_facets = admin.ShowFacets.NEVER
    actions = ("try_again",)
    fieldsets = (
        (None, {"fields": ("state_word", "error", "attempts", "next_attempt", "sent_at")}),
        (_("What"), {"fields": ("kind", "subscription_page", "run", "created_at", "shown_content")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        queryset = super().get_queryset(request)
        if request.user.is_superuser:
            return queryset
        return queryset.filter(subscription__owner=request.user.pk)

    def of_list(self, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        return queryset.defer("content", "change__harvest_run__dag_run_conf")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "subscription__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Notice | None = None) -> list[str]:
        return flatten_fieldsets(self.fieldsets)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.action(description=_("Try again: send them now"), permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        number = delivery.try_again(list(queryset.values_list("pk", flat=True)))
        text = ngettext(
            "%d notice is sent within a minute or two.",
            "%d notices are sent within a minute or two.",
            number,
        )
        level = messages.SUCCESS if number else messages.WARNING
        self.message_user(request, text % number, level)

    # --- what is shown ---

    @admin.display(description=_("state"), ordering="state")
    def state_word(self, notice: Notice) -> SafeString | str:
        word = str(notice.get_state_display())
        return parts.failure_word(word) if notice.state == Notice.State.FAILED else word

    @admin.display(description=_("next attempt"), ordering="due_at")
    def next_attempt(self, notice: Notice) -> SafeString | str:
        return moments.moment(notice.due_at if notice.state == Notice.State.WAITING else None)

    @admin.display(description=_("run"))
    def run(self, notice: Notice) -> SafeString | str:
        return parts.page_link(notice.change.harvest_run if notice.change else None)

    @admin.display(description=_("subscription"))
    def subscription_page(self, notice: Notice) -> SafeString | str:
        return parts.page_link(notice.subscription)

    @admin.display(description=_("content"))
    def shown_content(self, notice: Notice) -> SafeString:
        return parts.pretty_json(notice.content)
