"""Subscriptions: each person's own, where superusers see all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import unfold.admin
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from harvest import airflow, delivery, limits, telling, webhooks
from harvest.admin import parts
from harvest.admin.careful import CarefulAdmin
from harvest.admin.longlists import values_of
from harvest.admin.runfilters import known_campuses
from harvest.models import HarvestRun, Subscription
from harvest.news import Kind

KINDS = {
    Kind.FAILED: _("a run failed"),
    Kind.RECOVERED: _("it succeeded after all, or the next run of the collection did"),
    Kind.STALE: _("a run went silent"),
    Kind.LOST: _("Airflow knows a run no more"),
}


#: In the history of the admin, which is kept when the subscription and its notices are gone.
SENT_A_TEST = "Sent a test."


class SubscriptionForm(forms.ModelForm[Subscription]):
    kinds = forms.MultipleChoiceField(
        label=_("Tell of"),
        choices=[(kind.value, text) for kind, text in KINDS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    campuses = forms.MultipleChoiceField(
        label=_("Campuses"),
        required=False,
        help_text=_("Those that the collections name. None: all."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    dag_ids = forms.MultipleChoiceField(
        label=_("DAGs"),
        required=False,
        help_text=_("Those of Rikolti, and others that have runs. None: all."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Subscription
        fields = ("name", "active", "kinds", "collections", "campuses", "dag_ids", "channel", "address")
        help_texts = {"collections": _("None: all, and runs without a collection.")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A misspelt one would be told nothing, in silence. (Whoever may not change it sees no fields.)
        for name, known, gone in (
            ("campuses", known_campuses(), gettext("%s (no collection has it now)")),
            ("dag_ids", known_dag_ids(), gettext("%s (no run has it now)")),
        ):
            if name in self.fields:
                chosen = getattr(self.instance, name)
                self.fields[name].choices = _choices(known, chosen, gone)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Check the address by the channel that it is for."""
        cleaned: dict[str, Any] = super().clean() or {}
        address, channel = cleaned.get("address"), cleaned.get("channel")
        try:
            if address and channel == Subscription.Channel.MAIL:
                validate_email(address)
                if not delivery.may_be_mailed(address):
                    text = gettext("Mail goes to these domains only: %s.")
                    raise ValidationError(text % ", ".join(settings.NOTICE_MAIL_DOMAINS))
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


def known_dag_ids() -> list[str]:
    """Return Rikolti's DAGs, then others that have runs."""
    found = values_of(HarvestRun._meta.get_field("dag_id"), limits.MAX_CHOICES)
    return [*airflow.DAG_IDS, *(one for one in found if one not in airflow.DAG_IDS)]


def _choices(known: Sequence[str], chosen: Any, gone: str) -> list[tuple[str, str]]:
    """Return what is known as choices, and what was chosen once, so that it can be kept."""
    kept = [str(one) for one in chosen if one not in known] if isinstance(chosen, list) else []
    return [*((one, one) for one in known), *((one, gone % one) for one in kept)]


@admin.register(Subscription)
class SubscriptionAdmin(
    CarefulAdmin[Subscription], unfold.admin.ModelAdmin, admin.ModelAdmin[Subscription]
):
    form = SubscriptionForm
    list_display = ("name", "owner", "active", "tells_of", "channel", "where", "notices")
    list_filter = ("active", "channel")
    list_select_related = ("owner",)
    search_fields = ("name",)
    autocomplete_fields = ("collections",)
    readonly_fields = ("owner", "inactive_reason", "notices")
    actions = ("send_test", "make_secret")
    actions_submit_line = ("save_and_test",)
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
        for subscription in queryset:
            self._try(request, subscription)

    def has_test_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Return whether the button is shown; a permission by its name, the theme's check would look up
        in a database that need not be there yet."""
        return request.user.has_perm("harvest.change_subscription")

    @unfold_action(  # type: ignore[untyped-decorator]
        description=_("Save and send a test"), permissions=["test"]
    )
    def save_and_test(self, request: HttpRequest, subscription: Subscription) -> None:
        self._try(request, subscription)

    def _try(self, request: HttpRequest, subscription: Subscription) -> None:
        """Write a test, unless it would not be sent, or the person has had enough of them."""
        level = messages.WARNING
        if not subscription.active:
            text = gettext("%s is not active: nothing is sent.") % subscription
        elif not self._log_test(request, subscription):
            text = gettext("%(one)s: nothing is sent. You may send %(most)d tests an hour.")
            text %= {"one": subscription, "most": limits.MAX_TESTS}
        else:
            telling.write_test(subscription, timezone.now())
            level = messages.SUCCESS
            text = gettext("%s: a test is sent within a minute or two. See its notices.") % subscription
        self.message_user(request, text, level)

    def _log_test(self, request: HttpRequest, subscription: Subscription) -> bool:
        """Write down that a person sends a test, and return True; or False where they may not now."""
        person = request.user.pk or 0
        sent = LogEntry.objects.filter(
            user=person,
            content_type=get_content_type_for_model(subscription),
            change_message=SENT_A_TEST,
            action_time__gt=timezone.now() - timedelta(hours=1),
        )
        with transaction.atomic():
            # One after the other, of a person who asks twice at once.
            get_user_model().objects.select_for_update().filter(pk=person).first()
            if sent.count() >= limits.MAX_TESTS:
                return False
            self.log_change(request, subscription, SENT_A_TEST)
            return True

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
