"""redrive_dead_letters: take up again what ended in a dead-letter queue."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import BaseCommand, CommandError

from harvest import queues, recording, redrive
from harvest.models import Redrive

#: Seconds between two lines of progress.
PROGRESS_SECONDS = 3.0


class Command(BaseCommand):
    help = (
        "Redrive dead letters. Raw messages (events) become events or rejected messages; tasks go back "
        "to their queue. Nothing is taken off a dead-letter queue before it is safe elsewhere."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=Redrive.Kind.values, help="which dead letters")
        parser.add_argument(
            "--limit",
            type=positive,
            metavar="N",
            help="take at most so many, one by one, though SQS could move them itself",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, **options: Any) -> None:
        kind = Redrive.Kind(options["kind"])
        try:
            if options["dry_run"]:
                self._tell(kind, options["limit"])
            else:
                self._redrive(kind, options["limit"])
        except (queues.NoSuchQueue, redrive.RedriveGoesOn, BotoCoreError, ClientError) as error:
            raise CommandError(str(error)) from error
        except recording.TransientError as error:
            raise CommandError(
                f"{error}. What was not taken is still on its queue: run this again."
            ) from error

    def _tell(self, kind: Redrive.Kind, limit: int | None) -> None:
        sqs = queues.sqs_client()
        dead = queues.look_at_dead_letters(sqs, queues.look_at(sqs, queues.source_url(kind)))
        count = dead.visible if limit is None else min(dead.visible, limit)
        self.stdout.write(f"would redrive {count} of {dead.visible} messages of {dead.name}")

    def _redrive(self, kind: Redrive.Kind, limit: int | None) -> None:
        one = Redrive.objects.open().filter(kind=kind).first()
        if one is not None:
            self.stdout.write(f"going on with the redrive of {one}, with its own limit")
        else:
            one = redrive.begin(kind, most=limit)
        while one.ended_at is None:
            wait = redrive.go_on(one, PROGRESS_SECONDS)
            self.stdout.write(f"{one.taken} of {one.total} messages of {one.queue} …")
            if one.ended_at is None:
                time.sleep(wait)
        if one.problem:
            raise CommandError(f"{one.taken} messages redriven, then: {one.problem}")
        rejected = f", {one.rejected} of them rejected" if one.rejected else ""
        self.stdout.write(f"{one.taken} messages redriven {one.get_way_display()}{rejected}")


def positive(text: str) -> int:
    """Read a number of messages."""
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise ArgumentTypeError(f"{text} is no number of messages")
    return int(text)
