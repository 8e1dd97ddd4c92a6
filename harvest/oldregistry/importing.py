"""The import: runs, then events, then the status of runs that here still run; and the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any

from harvest import recording
from harvest.airflow import Event, parse_event
from harvest.batching import group_by_run
from harvest.errors import MalformedMessage
from harvest.models import HarvestEvent, HarvestRun
from harvest.oldregistry.rows import outcome_of, to_message, to_run
from harvest.oldregistry.sources import Source
from harvest.sns import SqsMessage, parse_notification

#: Events that are taken at once.
CHUNK = 500

#: Characters of a reason: the same one is counted, not listed.
LONGEST_REASON = 120

#: Of no run, though the registry's own rows are.
LACKING = "not there"


class Unproven(Exception):
    """What was read is not what is here."""


class Import:
    """One import. Can be stopped and begun again: what is there already counts as known.

    ``runs`` counts those "read", "made", "known" and "rejected"; ``events`` those "read", "stored",
    "duplicates" and "rejected"; ``reasons`` why. ``statuses`` counts runs by their old status and the
    one that they have here; ``dry_run`` writes nothing, and leaves that empty.
    """

    def __init__(
        self,
        source: Source,
        *,
        dry_run: bool = False,
        progress: Callable[[str], Any] = lambda text: None,
    ) -> None:
        self.runs: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self._source, self._dry_run, self._progress = source, dry_run, progress
        self._old: dict[int, Mapping[str, Any]] = {}
        self._ids: dict[int, int] = {}

    def run(self) -> None:
        """Take over all there is.

        Raises:
            Unreadable: the source can't be read.
            Unproven: the counts do not add up, or what counts as stored is not there.
            TransientError: our database is away. What came before is stored.
        """
        self._take_runs()
        self._take_events()
        if not self._dry_run:
            self._end_runs()
            self._compare()
        self._prove()

    def _take_runs(self) -> None:
        for pk, row in self._source.rows("runs"):
            self._old[pk] = row
            self.runs["read"] += 1
            told = self._told(row)
            if told is None:
                continue
            if self._dry_run:
                key = told.key
                known = HarvestRun.objects.filter(dag_id=key.dag_id, dag_run_id=key.dag_run_id)
                self.runs["known" if known.exists() else "made"] += 1
            else:
                self._ids[pk], made = recording.fill_in_run(told, outcome_of(row["status"]))
                self.runs["made" if made else "known"] += 1
            if self.runs["read"] % CHUNK == 0:
                self._progress(f"{self.runs['read']} runs …")

    def _told(self, row: Mapping[str, Any]) -> Event | None:
        try:
            return to_run(row)
        except MalformedMessage as error:
            self.runs["rejected"] += 1
            self.reasons[f"run: {error.reason}, {error.detail}"[:LONGEST_REASON]] += 1
            return None

    def _take_events(self) -> None:
        rows = self._source.rows("events")
        seen: set[str] = set()  # of a dry run: the source may have copies
        while chunk := list(islice(rows, CHUNK)):
            messages = [to_message(pk, row, self._old.get(row["harvest_run"])) for pk, row in chunk]
            self.events["read"] += len(messages)
            ids = [id_ for message in messages if (id_ := self._id_of(message)) is not None]
            if self._dry_run:
                new = set(ids) - self._stored(ids) - seen
                seen |= new
                self.events.update(
                    stored=len(new),
                    duplicates=len(ids) - len(new),
                    rejected=len(messages) - len(ids),
                )
            else:
                self._store(messages, ids)
            self._progress(f"{self.events['read']} events …")

    def _id_of(self, message: SqsMessage) -> str | None:
        """Return an event's id, or None for one that can't be understood: why is counted."""
        try:
            return parse_event(parse_notification(message)).message_id
        except MalformedMessage as error:
            self.reasons[f"event: {error.reason}, {error.detail}"[:LONGEST_REASON]] += 1
        except Exception as error:  # a fault of the parser: recording keeps the message with it
            self.reasons[f"event: {error!r}"[:LONGEST_REASON]] += 1
        return None

    def _store(self, messages: list[SqsMessage], ids: Collection[str]) -> None:
        refused = len(ids) - len(messages)
        for batch in group_by_run(messages):
            recorded = recording.fill_in_events(batch.messages)
            refused += recorded.rejected
            self.events.update(
                stored=recorded.recorded, duplicates=recorded.duplicates, rejected=recorded.rejected
            )
        if refused:  # by the database, though the parser took them
            self.reasons["event: refused by the database, see the rejected messages"] += refused
        self.events["missing"] += max(0, len(set(ids) - self._stored(ids)) - refused)

    def _stored(self, ids: Collection[str]) -> set[str]:
        found = HarvestEvent.objects.filter(message_id__in=ids).values_list("message_id", flat=True)
        return set(found)

    def _end_runs(self) -> None:
        """End the runs whose last event is lost, now that it is known which those are."""
        for old in self._ids:
            row = self._old[old]
            recording.fill_in_run(to_run(row), outcome_of(row["status"]), after_events=True)

    def _compare(self) -> None:
        pairs = iter(self._ids.items())
        while chunk := dict(islice(pairs, CHUNK)):
            found = HarvestRun.objects.filter(pk__in=chunk.values()).values_list("pk", "status")
            now = dict(found)
            for old, new in chunk.items():
                status = now.get(new, LACKING)
                self.statuses[str(self._old[old]["status"]), status] += 1
                self.runs["missing"] += status == LACKING

    def _prove(self) -> None:
        """Hold what was read against what became of it."""
        runs, events = self.runs, self.events
        faults = []
        if runs["read"] != runs["made"] + runs["known"] + runs["rejected"]:
            faults.append("the counts of runs do not add up")
        if events["read"] != events["stored"] + events["duplicates"] + events["rejected"]:
            faults.append("the counts of events do not add up")
        if runs["missing"] or events["missing"]:
            faults.append(f"{runs['missing']} runs and {events['missing']} events are not there")
        if faults:
            raise Unproven("; ".join(faults))
