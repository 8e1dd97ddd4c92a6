"""import_registry: take over the runs and events of a registry that ran before this."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from harvest import recording
from harvest.oldregistry import (
    DatabaseSource,
    FileSource,
    Import,
    Names,
    Source,
    UnknownName,
    Unproven,
    Unreadable,
)


class Command(BaseCommand):
    help = (
        "Take over runs and events of the registry before this, from its database "
        "(REGISTRY_DATABASE_URL, which is only read) or a file of its dumpdata. Nobody is told of what "
        "is filled in. Can be stopped and run again: what is there already is left alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            type=Path,
            metavar="FILE",
            help="what dumpdata wrote, best with --format jsonl; without it REGISTRY_DATABASE_URL",
        )
        parser.add_argument(
            "--name",
            action="append",
            default=[],
            metavar="OURS=THEIRS",
            help="another name of a table or column: runs=harvests, runs.host=hostname",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, **options: Any) -> None:
        try:
            source = self._source(options["from"], Names.parse(options["name"]))
        except UnknownName as error:
            raise CommandError(f"--name: {error}") from error
        job = Import(source, dry_run=options["dry_run"], progress=self.stdout.write)
        try:
            job.run()
        except Unreadable as error:
            raise CommandError(str(error)) from error
        except recording.TransientError as error:
            raise CommandError(
                f"{counts(job)}; then the database failed: {error}. Run this again."
            ) from error
        except Unproven as error:
            raise CommandError(f"{counts(job)}; but {error}.") from error
        finally:
            if isinstance(source, DatabaseSource):
                source.close()
        self._tell(job)

    def _source(self, file: Path | None, names: Names) -> Source:
        if file is not None:
            return FileSource(file, names)
        if settings.REGISTRY_DATABASE is None:
            raise CommandError("give --from FILE, or set REGISTRY_DATABASE_URL.")
        return DatabaseSource(settings.REGISTRY_DATABASE, names)

    def _tell(self, job: Import) -> None:
        self.stdout.write(counts(job))
        for reason, number in job.reasons.most_common():
            self.stdout.write(f"  {number} times {reason}")
        if job.statuses:
            self.stdout.write(f"{'status there':<20} {'here':<10} {'runs':>8}")
        for (old, new), number in sorted(job.statuses.items()):
            self.stdout.write(f"{old[:20]:<20} {new:<10} {number:>8}")


def counts(job: Import) -> str:
    """Return what was read and what became of it, in one line."""
    runs, events = job.runs, job.events
    return (
        f"{runs['read']} runs read: {runs['made']} made, {runs['known']} known, "
        f"{runs['rejected']} rejected; {events['read']} events read: {events['stored']} stored, "
        f"{events['duplicates']} duplicates, {events['rejected']} rejected"
    )
