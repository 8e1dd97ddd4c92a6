"""Another chance for rejected messages, by a person's word: a few at once here, many by the workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.contrib import messages
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from harvest import limits, recording, tasks
from harvest.admin import asking, parts
from harvest.models import HarvestRun, RejectedMessage

#: Runs and messages that what is told afterwards links to.
MAX_LINKS = 10


@dataclass(slots=True)
class Replayed:
    """What became of messages: of each by its id, and why the rest was left, if it was."""

    recorded: list[int | None] = field(default_factory=list)
    """The run that each went into."""
    rejected: list[int] = field(default_factory=list)
    waiting: int = 0
    """Can't be verified yet."""
    error: str = ""


def replay_here(rejected: Iterable[RejectedMessage]) -> Replayed:
    """Replay messages one by one, as far as the database lets it."""
    replayed = Replayed()
    try:
        for message in rejected:
            try:
                recorded = recording.replay(message)
            except recording.NotVerified:
                replayed.waiting += 1
                continue
            if recorded is None:
                replayed.rejected.append(message.pk)
            else:
                replayed.recorded.append(recorded.run_id)
    except recording.TransientError as error:
        replayed.error = str(error)
    return replayed


def replay_by_workers(ids: Sequence[int]) -> tuple[int, str | None]:
    """Send messages to the workers, in slices. Return how many, and why no more, if it is not all."""
    sent = 0
    for start in range(0, len(ids), limits.MAX_REPLAYED):
        slice_of_ids = ids[start : start + limits.MAX_REPLAYED]
        refused = asking.send(tasks.replay_rejected, list(slice_of_ids))
        if refused:
            return sent, refused
        sent += len(slice_of_ids)
    return sent, None


def words_of(replayed: Replayed) -> Iterator[tuple[int, SafeString | str]]:
    """Yield what a person is told, each with the level of the message."""
    if replayed.error:
        yield messages.ERROR, _("The database is busy, try again: %s") % replayed.error
    if number := len(replayed.recorded):
        text = ngettext("%d message is recorded.", "%d messages are recorded.", number) % number
        yield messages.SUCCESS, format_html("{} {}", text, _links_to_runs(replayed.recorded))
    if number := len(replayed.rejected):
        text = ngettext(
            "%d message is still not understood:",
            "%d messages are still not understood:",
            number,
        )
        yield messages.WARNING, format_html("{} {}", text % number, _reasons(replayed.rejected))
    if replayed.waiting:
        text = ngettext(
            "%d message can't be verified now, since the certificate of SNS can't be fetched. It is "
            "kept as it was: try again later.",
            "%d messages can't be verified now, since the certificate of SNS can't be fetched. They "
            "are kept as they were: try again later.",
            replayed.waiting,
        )
        yield messages.ERROR, text % replayed.waiting


def _links_to_runs(run_ids: Iterable[int | None]) -> SafeString:
    distinct = {run_id for run_id in run_ids if run_id is not None}
    runs = HarvestRun.objects.filter(pk__in=sorted(distinct)[:MAX_LINKS]).defer("dag_run_conf")
    return format_html_join(" ", "{}", ((parts.page_link(run),) for run in runs))


def _reasons(ids: Sequence[int]) -> SafeString:
    """Return why messages are rejected now, each reason once, with links to their pages."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    again = RejectedMessage.objects.filter(pk__in=ids).order_by("pk")
    for pk, reason in again.values_list("pk", "reason"):
        by_reason[reason].append(pk)
    return format_html_join("; ", "{}", ((_reason(*group),) for group in by_reason.items()))


def _reason(reason: str, ids: Sequence[int]) -> SafeString:
    word = str(RejectedMessage.Reason(reason).label)
    if len(ids) == 1:
        return _link(ids[0], word)
    links: list[str] = [_link(pk, _("message %d") % pk) for pk in ids[:MAX_LINKS]]
    if len(ids) > MAX_LINKS:
        links.append(_("others"))
    told = _("%(reason)s, %(number)d times") % {"reason": word, "number": len(ids)}
    return format_html("{} ({})", told, format_html_join(", ", "{}", ((one,) for one in links)))


def _link(pk: int, text: str) -> SafeString:
    page = reverse("admin:harvest_rejectedmessage_change", args=[pk])
    return format_html('<a href="{}">{}</a>', page, text)
