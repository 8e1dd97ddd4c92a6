"""Subscriptions: each person's own, where superusers see all."""

from __future__ import annotations

from typing import Any

import unfold.admin
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from harvest import delivery, limits, telling, webhooks
from harvest.admin import parts
from harvest.models import Subscription
from harvest.news import Kind

KINDS = {
    Kind.FAILED: _("a run failed"),
    Kind.RECOVERED: _("it succeeded after all, or the next run of the collection did"),
    Kind.STALE: _("a run went silent"),
    Kind.LOST: _("Airflow knows a run no more"),
}


class LinesField(forms.CharField):
    """A list of strings, written one a line."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        super().__init__(required=False, widget=widget, max_length=limits.MAX_FETCHED, **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return self._split(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self._split(data or ""))

    def _split(self, text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]


class SubscriptionForm(forms.ModelForm[Subscription]):
    kinds = forms.MultipleChoiceField(
        label=_("Tell of"),
        choices=[(kind.value, text) for kind, text in KINDS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    campuses = LinesField(
        label=_("Campuses"), help_text=_("As the collections name them, one a line. None: all.")
    )
    dag_ids = LinesField(
        label=_("DAGs"), help_text=_("Such as harvest_collection, one a line. None: all.")
    )

    class Meta:
        model = Subscription
        fields = ("name", "active", "kinds", "collections", "campuses", "dag_ids", "channel", "address")
        help_texts = {"collections": _("None: all, and runs without a collection.")}

    def clean(self) -> dict[str, Any]:
        """Check the address by the channel that it is for."""
        cleaned: dict[str, Any] = super().clean() or {}
        address, channel = cleaned.get("address"), cleaned.get("channel")
        try:
            if address and channel == Subscription.Channel.MAIL:
                validate_email(address)
            elif address and channel == Subscription.Channel.WEBHOOK:
                webhooks.check_url(address, guarded=settings.WEBHOOKS_GUARDED)
        except ValidationError as error:
            self.add_error("address", error)
        except webhooks.BadAddress as error:
            self.add_error("address", gettext("This can't be called: %s.") % error)
        return cleaned

    def save(self, commit: bool = True) -> Subscription:
        """Save it. One that is switched on again begins anew."""
        if self.instance.active:
            self.instance.given_up = 0
            self.instance.inactive_reason = ""
        return super().save(commit)


@admin.register(Subscription)
class SubscriptionAdmin(unfold.admin.ModelAdmin, admin.ModelAdmin[Subscription]):
    form = SubscriptionForm
    list_display = ("name", "owner", "active", "tells_of", "channel", "where", "notices")
    list_filter = ("active", "channel")
    list_select_related = ("owner",)
    search_fields = ("name",)
    autocomplete_fields = ("collections",)
    readonly_fields = ("owner", "inactive_reason", "notices")
    actions = ("send_test", "make_secret")
    fieldsets = (
        (None, {"fields": ("name", "owner", "active", "inactive_reason", "notices")}),
        (
            _("What"),
            {
                "fields": ("kinds", "collections", "campuses", "dag_ids"),
                "description": _(
                    "Told are the runs that match all that is named here. It takes up to two minutes: a "
                    "change is told when it has stood for one, so that what follows at once makes no "
                    "second message."
                ),
            },
        ),
        (
            _("Where to"),
            {
                "fields": ("channel", "address"),
                "description": _(
                    "A webhook is signed. Its secret is shown once, by the action that makes it."
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        queryset = super().get_queryset(request)
        return queryset if request.user.is_superuser else queryset.filter(owner=request.user.pk)

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        if not change and request.user.is_authenticated:
            obj.owner = request.user
        super().save_model(request, obj, form, change)

    @admin.action(description=_("Send a test"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        now = timezone.now()
        for subscription in queryset:
            if subscription.active:
                telling.write_test(subscription, now)
                text = gettext("%s: a test is sent within a minute or two. See its notices.")
                self.message_user(request, text % subscription, messages.SUCCESS)
            else:
                text = gettext("%s is not active: nothing is sent.") % subscription
                self.message_user(request, text, messages.WARNING)

    @admin.action(description=_("Make a new secret of a webhook, and show it"), permissions=["change"])
    def make_secret(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        """Answer with the secret: it is on this page alone, and in no cookie, session or log."""
        chosen = queryset.filter(channel=Subscription.Channel.WEBHOOK)
        if len(chosen) != 1 or len(queryset) != 1:
            self.message_user(request, gettext("Choose one webhook."), messages.WARNING)
            return None
        subscription = chosen[0]
        secret = delivery.new_secret(subscription)
        self.log_change(request, subscription, gettext("Made a new secret."))
        return parts.show_secret(
            request,
            self,
            secret,
            gettext("The secret of %s. Copy it now: it is not shown again.") % subscription,
            gettext("For %d hours webhooks are signed with the secret before it as well.")
            % (delivery.BOTH_SECRETS.total_seconds() // 3600),
        )

    # --- what is shown ---

    @admin.display(description=_("tells of"))
    def tells_of(self, subscription: Subscription) -> str:
        kinds = subscription.kinds
        return ", ".join(map(str, kinds)) if isinstance(kinds, list) else parts.EMPTY

    @admin.display(description=_("where to"))
    def where(self, subscription: Subscription) -> str:
        """An address of a webhook is often a secret by itself."""
        if subscription.channel == Subscription.Channel.MAIL:
            return parts.one_line(subscription.address)
        try:
            return str(webhooks.check_url(subscription.address, guarded=False).hostname)
        except webhooks.BadAddress:
            return parts.EMPTY

    @admin.display(description=_("notices"))
    def notices(self, subscription: Subscription) -> SafeString | str:
        if not subscription.pk:
            return parts.EMPTY
        url = reverse("admin:harvest_notice_changelist")
        return format_html(
            '<a href="{}?subscription__id__exact={}">{}</a>', url, subscription.pk, gettext("show")
        )
