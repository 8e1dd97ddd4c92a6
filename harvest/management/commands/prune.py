"""prune: let go of what was kept for long enough."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from harvest import recording, retention

#: Slices between two lines of progress.
PROGRESS_SLICES = 50


def duration(kept: timedelta) -> str:
    """Return a duration as it is written in the environment: 30d, or 36h."""
    hours, rest = divmod(int(kept.total_seconds()), 3600)
    if rest:
        return f"{int(kept.total_seconds())}s"
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


class Command(BaseCommand):
    help = (
        "Remove ended sessions, and what is older than the RETAIN_ settings say: done daily by beat. "
        "In short slices; can be stopped, and run again, at any time. Events and runs stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how much there is")

    def handle(self, **options: Any) -> None:
        rows: Counter[str] = Counter()
        if options["dry_run"]:
            now = timezone.now()
            rows.update({rule.what: rule.old(now - rule.kept).count() for rule in retention.RULES})
        else:
            self._prune(rows)
        for rule in retention.RULES:
            verb = "would be removed" if options["dry_run"] else "removed"
            bound = f" older than {duration(rule.kept)} of {rule.setting}" if rule.setting else ""
            self.stdout.write(f"{rule.what}{bound}: {rows[rule.what]} {verb}")

    def _prune(self, rows: Counter[str]) -> None:
        try:
            for number, one in enumerate(retention.prune(timezone.now()), 1):
                rows[one.rule.what] += one.rows
                if number % PROGRESS_SLICES == 0:
                    self.stdout.write(f"{one.rule.what}: {rows[one.rule.what]} …")
        except recording.TransientError as error:
            raise CommandError(
                f"{rows.total()} removed, then the database failed: {error}. Run this again."
            ) from error
