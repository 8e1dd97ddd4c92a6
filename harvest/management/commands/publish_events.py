"""publish_events: put recorded events on the wire."""

from __future__ import annotations

import json
import random
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

#: Seconds between lines of progress.
PROGRESS = 5.0


class Command(BaseCommand):
    help = (
        "Publish recorded events. A line of a file is an SQS message as boto3 returns it (its Body "
        "goes to the queue as it is) or a bare Airflow event (published to the topic)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="JSON lines; - for standard input")
        parser.add_argument(
            "--rate", type=_positive(float), metavar="N", help="at most N events a second"
        )
        parser.add_argument("--shuffle", action="store_true", help="in random order")
        parser.add_argument("--seed", type=int, help="of the random order, to have it again")
        parser.add_argument(
            "--repeat", type=_positive(int), default=1, metavar="N", help="all of it N times"
        )

    def handle(self, **options: Any) -> None:
        sends = [send for file in options["files"] for send in self._read(file)]
        sends *= options["repeat"]
        if options["shuffle"]:
            random.Random(options["seed"]).shuffle(sends)  # noqa: S311 - no secret
        started = reported = time.monotonic()
        for count, send in enumerate(sends, start=1):
            if options["rate"]:
                time.sleep(max(0.0, started + (count - 1) / options["rate"] - time.monotonic()))
            try:
                send()
            except (BotoCoreError, ClientError) as error:
                raise CommandError(f"published {count - 1} of {len(sends)}, then: {error}") from error
            if time.monotonic() - reported >= PROGRESS:
                reported = time.monotonic()
                self.stdout.write(f"{count} of {len(sends)} …")
        self.stdout.write(f"published {len(sends)} events")

    def _read(self, file: str) -> Iterator[Callable[[], Any]]:
        """Yield what sends each line. All files are read before the first line is sent."""
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file}: {error}") from error
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    data = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise CommandError(f"{file}:{number}: not JSON: {error}") from error
                if not isinstance(data, dict):
                    raise CommandError(f"{file}:{number}: not a JSON object")
                yield self._sender(line, data)

    def _sender(self, line: str, data: dict[str, Any]) -> Callable[[], Any]:
        if isinstance(data.get("Body"), str):
            return partial(
                self._sqs.send_message,
                QueueUrl=_setting("RIKOLTI_EVENTS_QUEUE_URL"),
                MessageBody=data["Body"],
            )
        return partial(
            self._sns.publish,
            TopicArn=_setting("RIKOLTI_EVENTS_TOPIC_ARNS"),
            Message=line,
        )

    @cached_property
    def _sqs(self) -> SQSClient:
        return boto3.client("sqs")

    @cached_property
    def _sns(self) -> SNSClient:
        return boto3.client("sns")


def _setting(name: str) -> str:
    value = getattr(settings, name)
    if not value:
        raise CommandError(f"{name} is not set.")
    return str(value if isinstance(value, str) else value[0])


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < 10**9:
            raise ArgumentTypeError(f"{text!r} is not a positive number")
        return number

    return read
