"""setup_queues: make the topic, the queues and what ties them together."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import BaseCommand, CommandError

from harvest.provision import EVENTS, TASKS, Provisioner


class Command(BaseCommand):
    help = (
        "Make the topic, the queues with their dead-letter queues, redrive policies, the queue policy "
        "and the subscription, as far as they are missing. Region, endpoint and credentials come from "
        "the environment, as for every AWS tool."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--apply", action="store_true", help="also change attributes of queues that exist"
        )
        parser.add_argument(
            "--topic-arn", default="", help="Rikolti's topic, where it exists; else one is made"
        )
        parser.add_argument(
            "--visibility-timeout",
            type=int,
            choices=range(1, 12 * 3600 + 1),
            metavar="SECONDS",
            help="of both queues, in place of 120 for the events and 300 for the tasks",
        )

    def handle(self, **options: Any) -> None:
        changes = differences = 0
        try:
            provisioner = Provisioner(
                sqs=boto3.client("sqs"),
                sns=boto3.client("sns"),
                topic_arn=options["topic_arn"],
                dry_run=options["dry_run"],
                apply=options["apply"],
                visibility_timeout=options["visibility_timeout"],
            )
            for change in provisioner.run():
                changes += 1
                differences += change.differs and not change.done
                self.stdout.write(self._word(change.done, change.differs) + " " + change.what)
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"AWS: {error}") from error

        if not changes:
            self.stdout.write("All is there already, nothing to do.")
        if differences and not options["apply"]:
            self.stdout.write(
                self.style.WARNING("Queues that exist are left as they are: --apply changes them.")
            )
        if not options["dry_run"]:
            self.stdout.write("\nFor the environment of web, worker and beat:")
            self.stdout.write(f"RIKOLTI_EVENTS_QUEUE_URL={provisioner.urls[EVENTS]}")
            self.stdout.write(f"RIKOLTI_EVENTS_TOPIC_ARNS={provisioner.topic_arn}")
            self.stdout.write(f"AVRAM_TASKS_QUEUE_URL={provisioner.urls[TASKS]}")

    def _word(self, done: bool, differs: bool) -> str:
        if done:
            return self.style.SUCCESS("did      ")
        return self.style.WARNING("differs: " if differs else "would    ")
