"""rikolti_status: take all that is on the raw queue, without Celery."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from harvest import recording
from harvest.models import HarvestRun
from harvest.rawqueue import RawQueue

RUN_AGAIN = "What was not recorded is still on the queue: run this again."

#: After so many receives in a row that brought only what can't be verified yet, no more is asked for:
#: each takes messages nearer to the dead letters.
MOST_IN_VAIN = 2


class Command(BaseCommand):
    help = (
        "Drain the queue of Rikolti's events once, and bring the runs up to date, without a worker: "
        "for cron, or for a registry that runs none. Ends when the queue is empty."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait",
            type=int,
            default=2,
            choices=range(21),
            metavar="SECONDS",
            help="how long an empty queue is waited for, 0 to 20 (default 2)",
        )

    def handle(self, **options: Any) -> None:
        if not settings.RIKOLTI_EVENTS_QUEUE_URL:
            raise CommandError("RIKOLTI_EVENTS_QUEUE_URL is not set.")
        queue = RawQueue(settings.RIKOLTI_EVENTS_QUEUE_URL)
        self.totals: Counter[str] = Counter()
        self.run_ids: set[int] = set()
        try:
            self._drain(queue, options["wait"])
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"{self._summary()}; then the queue failed: {error}") from error
        except recording.NotVerified as error:
            left = self.totals["waiting"]
            raise CommandError(f"{self._counts()}, {left} left; then {error}. {RUN_AGAIN}") from error
        except recording.TransientError as error:
            raise CommandError(
                f"{self._counts()}; then the database failed: {error}. {RUN_AGAIN}"
            ) from error
        self.stdout.write(self._summary())

    def _drain(self, queue: RawQueue, wait: int) -> None:
        unverified: recording.NotVerified | None = None
        in_vain = 0
        while in_vain < MOST_IN_VAIN and (messages := queue.receive(wait)):
            result = recording.record_all(messages)
            in_vain = 0 if result.safe else in_vain + 1
            unverified = result.unverified or unverified
            self.totals["waiting"] += len(messages) - len(result.safe)
            for batch in result.batches:
                self.totals.update(
                    recorded=batch.recorded,
                    duplicates=batch.duplicates,
                    rejected=batch.rejected,
                )
                if batch.run_id is not None:
                    self.run_ids.add(batch.run_id)
            queue.delete(result.safe)
            self.totals["messages"] += len(result.safe)
            if self.totals["messages"] % 100 < len(result.safe):
                self.stdout.write(f"{self.totals['messages']} messages …")
        if unverified is not None:
            raise unverified

    def _summary(self) -> str:
        statuses = Counter(
            HarvestRun.objects.filter(pk__in=self.run_ids).values_list("status", flat=True)
        )
        runs = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        return f"{self._counts()}{f' ({runs})' if runs else ''}"

    def _counts(self) -> str:
        """Return what was done, without asking the database."""
        return (
            f"{self.totals['messages']} messages: {self.totals['recorded']} events recorded, "
            f"{self.totals['duplicates']} seen before, {self.totals['rejected']} rejected; "
            f"{len(self.run_ids)} runs"
        )
