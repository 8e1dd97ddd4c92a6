"""The queues, as SQS knows them: how full each is, and which takes whose dead letters."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from harvest.deleter import MOST_AT_ONCE
from harvest.models import Redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: What SQS says of a queue that is not there, in its two protocols.
ABSENT = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")

#: What can go wrong between us and AWS.
AwsError = (BotoCoreError, ClientError)

#: An answer of AWS may take this long, in seconds: a task has less than a minute.
CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})

#: How far back CloudWatch is asked for an age. It knows a queue's a few minutes late, if at all.
AGE_WINDOW = timedelta(minutes=15)


class NoSuchQueue(Exception):
    """A queue is not there, or none is named: says which."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue at this moment, by ``GetQueueAttributes``: the counts are SQS's approximate ones."""

    url: str = field(repr=False)
    arn: str
    visible: int
    in_flight: int
    #: The ARN of its dead-letter queue, if it has one.
    dead_letters_arn: str | None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def sqs_client() -> SQSClient:
    """Return a client of AWS's own chain."""
    return boto3.client("sqs", config=CONFIG)


def source_url(kind: Redrive.Kind) -> str:
    """Return the URL of the queue that the settings name.

    Raises:
        NoSuchQueue: they name none.
    """
    url: str = (
        settings.RIKOLTI_EVENTS_QUEUE_URL
        if kind == Redrive.Kind.EVENTS
        else settings.AVRAM_TASKS_QUEUE_URL
    )
    if not url:
        raise NoSuchQueue("RIKOLTI_EVENTS_QUEUE_URL is not set")
    return url


def look_at(sqs: SQSClient, url: str) -> Queue:
    """Ask SQS for a queue.

    Raises:
        NoSuchQueue: it is not there.
        BotoCoreError, ClientError: SQS can't be asked.
    """
    try:
        response = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    except ClientError as error:
        raise _absent_or(error, url.rpartition("/")[2]) from error
    found = {str(name): value for name, value in response.get("Attributes", {}).items()}
    redrive = json.loads(found.get("RedrivePolicy") or "{}")
    return Queue(
        url=url,
        arn=found.get("QueueArn", ""),
        visible=int(found.get("ApproximateNumberOfMessages", 0)),
        in_flight=int(found.get("ApproximateNumberOfMessagesNotVisible", 0)),
        dead_letters_arn=redrive.get("deadLetterTargetArn"),
    )


def look_at_dead_letters(sqs: SQSClient, source: Queue) -> Queue:
    """Ask SQS for the queue that a queue's redrive policy names.

    Raises:
        NoSuchQueue: it is not there, or the policy names none.
        BotoCoreError, ClientError: SQS can't be asked.
    """
    if source.dead_letters_arn is None:
        raise NoSuchQueue(f"{source.name} has no dead-letter queue")
    account, name = source.dead_letters_arn.split(":")[-2:]
    try:
        url = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    except ClientError as error:
        raise _absent_or(error, name) from error
    return look_at(sqs, url)


def oldest_dead_letter(sqs: SQSClient, queue: Queue) -> datetime | None:
    """Return when the oldest of up to ten dead letters was sent, None where none was seen.

    They are received and given back at once. That counts as a delivery, which costs a dead letter
    nothing: unless its queue has dead letters of its own, where it is not asked.

    Raises:
        BotoCoreError, ClientError: SQS can't be asked.
    """
    if queue.dead_letters_arn is not None or not queue.visible:
        return None
    response = sqs.receive_message(
        QueueUrl=queue.url,
        MaxNumberOfMessages=MOST_AT_ONCE,
        VisibilityTimeout=0,
        WaitTimeSeconds=0,
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    sent = [int(message["Attributes"]["SentTimestamp"]) for message in response.get("Messages", [])]
    return datetime.fromtimestamp(min(sent) / 1000, UTC) if sent else None


def oldest_by_cloudwatch(names: list[str], now: datetime) -> dict[str, datetime]:
    """Return when the oldest message of each queue was sent, as CloudWatch has it; of some, or none.

    A receive would tell it too, but it brings each message nearer to the dead letters.

    Source: SQS's metric ApproximateAgeOfOldestMessage, in seconds, of the queues that are in use.

    Raises:
        BotoCoreError, ClientError: it can't be asked.
    """
    answer = boto3.client("cloudwatch", config=CONFIG).get_metric_data(
        MetricDataQueries=[
            {
                "Id": f"q{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SQS",
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": name}],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for index, name in enumerate(names)
        ],
        StartTime=now - AGE_WINDOW,
        EndTime=now,
        ScanBy="TimestampDescending",
    )
    found = {}
    for result in answer["MetricDataResults"]:
        if result["Timestamps"] and result["Values"]:
            age = timedelta(seconds=result["Values"][0])
            found[names[int(result["Id"][1:])]] = result["Timestamps"][0] - age
    return found


def _absent_or(error: ClientError, name: str) -> Exception:
    absent = error.response.get("Error", {}).get("Code") in ABSENT
    return NoSuchQueue(f"{name} is not there") if absent else error
