"""Queues: how full they are and were, and the redrive of dead letters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery.exceptions import OperationalError
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from harvest import queues, redrive
from harvest.admin import charts, moments, parts
from harvest.admin.longlists import ValuesFilter
from harvest.models import QueueReading, Redrive
from harvest.tasks import redrive_dead_letters

#: Redrives that the page shows; all of them have a list of their own.
NEWEST_REDRIVES = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """One queue on the page."""

    newest: QueueReading
    read_at: SafeString | str
    oldest_at: SafeString | str
    chart: SafeString
    is_fresh: bool
    #: The kind to redrive, for dead letters that may be redriven now.
    redrivable: str


@admin.register(QueueReading)
class QueueReadingAdmin(parts.ReadOnlyAdmin[QueueReading]):
    list_display = ("read_at", "queue", "depth", "in_flight", "oldest_at")
    list_filter = (("queue", ValuesFilter),)
    show_facets = admin.ShowFacets.NEVER
    fields = ("queue", "source", "read_at", "visible", "in_flight", "oldest_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("queues/", view(self.queues), name="harvest_queues"),
            path("queues/redrive/<str:kind>/", view(self.redrive), name="harvest_redrive"),
            *super().get_urls(),
        ]

    @admin.display(description=_("waiting"), ordering="visible")
    def depth(self, reading: QueueReading) -> SafeString | str:
        return depth_word(reading)

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("harvest.redrive_queue")

    def queues(self, request: HttpRequest) -> HttpResponse:
        """The page: each queue as it was read last, the last day, and the last redrives."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        open_kinds = set(Redrive.objects.open().values_list("kind", flat=True))
        shown = _shown(now, may_redrive=self.has_redrive_permission(request), open_kinds=open_kinds)
        newest = Redrive.objects.select_related("user")[:NEWEST_REDRIVES]
        return self._page(
            request,
            "harvest/queues.html",
            title=gettext("Queues"),
            queues=shown,
            # After a fresh start there is nothing to worry about.
            unread=_unread(shown) if shown or QueueReading.objects.exists() else None,
            redrives={
                "headers": [
                    gettext(head)
                    for head in ("begun", "by", "queue", "way", "progress", "rejected", "state")
                ],
                "rows": [_row(one) for one in newest],
            },
            has_open=bool(open_kinds),
        )

    def redrive(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Ask whether, and then have it done by tasks. One redrive of a kind goes on at a time."""
        if not self.has_redrive_permission(request):
            raise PermissionDenied
        if kind not in Redrive.Kind.values:
            raise Http404
        if request.method == "POST":
            self._begin(request, Redrive.Kind(kind))
            return HttpResponseRedirect(reverse("admin:harvest_queues"))
        newest = _newest_dead_letters(Redrive.Kind(kind))
        return self._page(
            request,
            "harvest/redrive.html",
            title=gettext("Redrive dead letters"),
            kind=Redrive.Kind(kind),
            newest=newest,
            read_at=moments.moment(newest.read_at if newest else None),
        )

    def _begin(self, request: HttpRequest, kind: Redrive.Kind) -> None:
        try:
            one = redrive.begin(kind, user=request.user)  # type: ignore[arg-type] # logged in
        except (queues.NoSuchQueue, redrive.RedriveGoesOn, *queues.AwsError) as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        try:
            redrive_dead_letters.apply_async((one.pk, one.slices), retry=False)
        except (OperationalError, OSError, *queues.AwsError) as error:
            text = gettext("The task can't be sent, so the redrive begins in a quarter of an hour: %s")
            self.message_user(request, text % error, messages.WARNING)
            return
        text = gettext("%(total)d messages of %(queue)s are being redriven.")
        self.message_user(request, text % {"total": one.total, "queue": one.queue}, messages.SUCCESS)

    def _page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name
        whole = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, template, whole)


@admin.register(Redrive)
class RedriveAdmin(parts.ReadOnlyAdmin[Redrive]):
    list_display = ("started_at", "user", "queue", "way", "progress", "rejected", "state")
    list_filter = ("kind",)
    list_select_related = ("user",)
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "queue", "kind", "user", "way", "most", "progress", "rejected", "started_at", "touched_at",
        "ended_at", "state",
    )  # fmt: skip
    readonly_fields = ("progress", "state")

    @admin.display(description=_("progress"))
    def progress(self, one: Redrive) -> str:
        return progress(one)

    @admin.display(description=_("state"))
    def state(self, one: Redrive) -> SafeString | str:
        return state_word(one)


def depth_word(reading: QueueReading) -> SafeString | str:
    """Return how many messages wait, with a shape and a colour where they are too many."""
    if reading.is_over:
        return parts.warning_word(str(reading.visible))
    return str(reading.visible)


def progress(one: Redrive) -> str:
    """Return how far a redrive is."""
    aim = one.total if one.most is None else min(one.most, one.total)
    return gettext("%(taken)d of %(aim)d") % {"taken": one.taken, "aim": max(aim, one.taken)}


def state_word(one: Redrive) -> SafeString | str:
    """Return what a redrive does, or how it ended."""
    if one.ended_at is None:
        return gettext("goes on; at the moment: %s") % one.problem if one.problem else gettext("goes on")
    if one.problem:
        return format_html(
            '<span class="breakable">{} {}</span>', parts.failure_word(gettext("ended:")), one.problem
        )
    return parts.success_word(gettext("done"))


def _row(one: Redrive) -> list[object]:
    user = one.user.get_username() if one.user else gettext("a command")
    begun = moments.moment(one.started_at)
    return [begun, user, one.queue, one.get_way_display(), progress(one), one.rejected, state_word(one)]


def _shown(now: datetime, *, may_redrive: bool, open_kinds: set[str]) -> list[Shown]:
    """Return each queue that was read in the last day, its dead letters after it."""
    by_queue: dict[tuple[str, str], list[QueueReading]] = defaultdict(list)
    for reading in QueueReading.objects.filter(read_at__gte=now - charts.SPAN).order_by("read_at"):
        by_queue[reading.source or reading.queue, reading.queue].append(reading)
    names = list(_names())
    shown = []
    for number, ((_source, name), readings) in enumerate(sorted(by_queue.items())):
        newest = readings[-1]
        kind = _kind_of(newest.source)
        points = [(reading.read_at, reading.visible) for reading in readings]
        chart = charts.depths(f"queue-{number}", gettext("Messages that wait"), {name: points}, now)
        can_be = may_redrive and kind not in open_kinds and newest.visible
        is_fresh = newest.read_at >= now - charts.GAP  # an older one says nothing of now
        times = moments.moment(newest.read_at), moments.moment(newest.oldest_at)
        shown.append(Shown(newest, *times, chart, is_fresh, kind if can_be else ""))
    # In the order of the settings: the raw queue goes first.
    return sorted(shown, key=lambda one: _place(names, one.newest))


def _place(names: Sequence[str], reading: QueueReading) -> int:
    """Return where a queue's pair stands: one that the settings name no more, last."""
    source = reading.source or reading.queue
    return names.index(source) if source in names else len(names)


def _names() -> dict[str, Redrive.Kind]:
    """Return the names of the queues that the settings name."""
    names = {}
    for kind in Redrive.Kind:
        try:
            names[queues.source_url(kind).rpartition("/")[2]] = kind
        except queues.NoSuchQueue:
            continue
    return names


def _kind_of(source: str) -> str:
    """Return which dead letters those of a queue are: none, where the settings don't name it."""
    return _names().get(source, "")


def _unread(shown: Sequence[Shown]) -> list[str]:
    """Return the queues that should have been read in the last day, and were not."""
    read = {one.newest.queue for one in shown}
    with_dead_letters = {one.newest.source for one in shown}
    missing = []
    for name in _names():
        if name not in read:
            missing.append(name)
        elif name not in with_dead_letters:
            missing.append(gettext("the dead letters of %s") % name)
    return missing


def _newest_dead_letters(kind: Redrive.Kind) -> QueueReading | None:
    sources = [name for name, own in _names().items() if own == kind]
    return QueueReading.objects.filter(source__in=sources).first()
