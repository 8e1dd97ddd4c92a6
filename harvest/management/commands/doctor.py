"""doctor: ask the live world whether all is well."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from harvest import doctor
from harvest.doctor import Level
from harvest.permissions import Process


class Command(BaseCommand):
    help = (
        "Ask database, queues, topic, AWS's clock, monitoring broker and Airflow, and tell of each how "
        "it is and what to do. Changes nothing. Ends with 1 where there is a fault."
    )
    requires_system_checks = []  # They are a part of what is told.

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--process",
            type=Process,
            choices=list(Process),
            default=Process.WORKER,
            help="whose permissions are asked for (default: worker)",
        )

    def handle(self, **options: Any) -> None:
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.FAULT: self.style.ERROR,
        }
        counts: Counter[Level] = Counter()
        for finding in doctor.examine(options["process"]):
            counts[finding.level] += 1
            line = f"{styles[finding.level](f'{finding.level:<8}')} {finding.what}"
            self.stdout.write(f"{line} {finding.todo}".rstrip())
        self.stdout.write(f"{counts[Level.FAULT]} faults, {counts[Level.WARNING]} warnings")
        if counts[Level.FAULT]:
            sys.exit(1)
