"""The topic, the queues and what ties them together: what should be there, and making it so.

Source of the settings: docs/design.md, and Amazon's documentation of SQS and SNS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from harvest import limits
from harvest.queues import ABSENT

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

EVENTS = "rikolti-events"
TASKS = "avram-tasks"
DEAD_LETTERS = "-dlq"

_DAY = 24 * 3600


@dataclass(frozen=True)
class QueueSpec:
    """One queue, with the attributes that the pipeline relies on."""

    name: str
    attributes: Mapping[str, str]
    #: How often a message is delivered before it goes to the dead-letter queue.
    max_receives: int


@dataclass(frozen=True)
class Change:
    """One thing that was, or would be, done; or that is not as it should be."""

    what: str
    done: bool = True
    #: An attribute of an existing queue that is changed only with ``apply``.
    differs: bool = False


@dataclass
class Provisioner:
    """Brings topic and queues into being. Run again, it changes nothing.

    ``dry_run`` only tells. ``apply`` also changes attributes of queues that exist already.
    """

    sqs: SQSClient
    sns: SNSClient
    topic_arn: str = ""
    dry_run: bool = False
    apply: bool = False
    visibility_timeout: int | None = None
    urls: dict[str, str] = field(default_factory=dict)

    def run(self) -> Iterator[Change]:
        """Do what is missing, one step after the other.

        Raises:
            ClientError: AWS refused a step; those before it are done.
        """
        yield from self._ensure_topic()
        for spec in self._specs():
            yield from self._ensure_queue(
                spec.name + DEAD_LETTERS, {"MessageRetentionPeriod": str(14 * _DAY)}
            )
            yield from self._ensure_queue(spec.name, self._wanted(spec))
        yield from self._ensure_subscription()

    def _specs(self) -> tuple[QueueSpec, QueueSpec]:
        common = {
            # Shorter than the dead letters', whose age counts from when they were first sent.
            "MessageRetentionPeriod": str(4 * _DAY),
            # The longest that SQS allows. Queues made before 2025 have a quarter of it, and a message
            # of SNS's 256 KiB grows on its way through the task queue.
            "MaximumMessageSize": str(limits.MAX_BODY),
        }
        return (
            # Publishing takes seconds. Rikolti's messages are never to blame when it fails, so they
            # are given many chances.
            QueueSpec(
                EVENTS,
                {"VisibilityTimeout": self._timeout(120), **common},
                max_receives=100,
            ),
            # Longer than four times CELERY_TASK_TIME_LIMIT: a worker holds tasks that wait for others.
            QueueSpec(
                TASKS,
                {"VisibilityTimeout": self._timeout(300), **common},
                max_receives=20,
            ),
        )

    def _timeout(self, seconds: int) -> str:
        return str(self.visibility_timeout or seconds)

    def _wanted(self, spec: QueueSpec) -> dict[str, str]:
        redrive = {
            "deadLetterTargetArn": self._arn(spec.name + DEAD_LETTERS),
            "maxReceiveCount": spec.max_receives,
        }
        wanted = {**spec.attributes, "RedrivePolicy": json.dumps(redrive)}
        if spec.name == EVENTS:
            wanted["Policy"] = json.dumps(self._policy())
        return wanted

    def _policy(self) -> dict[str, Any]:
        """Let the topic, and nothing else of Amazon's, send to the events' queue.

        Statements of others that stand in the policy of an existing queue are kept.
        """
        own = {
            "Sid": "RikoltiTopicSends",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self._arn(EVENTS + DEAD_LETTERS).removesuffix(DEAD_LETTERS),
            "Condition": {"ArnEquals": {"aws:SourceArn": self.topic_arn}},
        }
        url = self._find(EVENTS)
        found = json.loads(self._read(url).get("Policy", "{}")) if url else {}
        others = [s for s in found.get("Statement", []) if s.get("Sid") != own["Sid"]]
        return {"Version": "2012-10-17", **found, "Statement": [*others, own]}

    def _ensure_topic(self) -> Iterator[Change]:
        if self.topic_arn:
            return  # Rikolti's own, which is not ours to make.
        for page in self.sns.get_paginator("list_topics").paginate():
            for topic in page["Topics"]:
                if topic["TopicArn"].endswith(f":{EVENTS}"):
                    self.topic_arn = topic["TopicArn"]
                    return
        if not self.dry_run:
            self.topic_arn = self.sns.create_topic(Name=EVENTS)["TopicArn"]
        yield Change(f"create topic {EVENTS}", done=not self.dry_run)

    def _ensure_queue(self, name: str, wanted: Mapping[str, str]) -> Iterator[Change]:
        url = self._find(name)
        if url:
            self.urls[name] = url
            yield from self._compare(name, wanted)
            return
        if not self.dry_run:
            created = self.sqs.create_queue(
                QueueName=name,
                Attributes=dict(wanted),  # type: ignore[arg-type] # the keys are right
            )
            self.urls[name] = created["QueueUrl"]
        yield Change(f"create queue {name}", done=not self.dry_run)

    def _compare(self, name: str, wanted: Mapping[str, str]) -> Iterator[Change]:
        found = self._read(self.urls[name])
        for key, value in wanted.items():
            if _same(found.get(key), value):
                continue
            change = self.apply and not self.dry_run
            if change:
                self.sqs.set_queue_attributes(
                    QueueUrl=self.urls[name],
                    Attributes={key: value},  # type: ignore[dict-item] # the keys are right
                )
            yield Change(
                f"set {key} of queue {name} to {value} (it is {found.get(key)})", change, differs=True
            )

    def _ensure_subscription(self) -> Iterator[Change]:
        if self.topic_arn and EVENTS in self.urls:
            pages = self.sns.get_paginator("list_subscriptions_by_topic").paginate(
                TopicArn=self.topic_arn
            )
            endpoint = self._arn(EVENTS)
            if any(s["Endpoint"] == endpoint for page in pages for s in page["Subscriptions"]):
                return
            if not self.dry_run:
                self.sns.subscribe(TopicArn=self.topic_arn, Protocol="sqs", Endpoint=endpoint)
        yield Change(f"subscribe queue {EVENTS} to the topic", done=not self.dry_run)

    def _find(self, name: str) -> str | None:
        try:
            return self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None
            raise

    def _read(self, url: str) -> Mapping[str, str]:
        response = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: Mapping[str, str] = response.get("Attributes", {})  # type: ignore[assignment]
        return attributes

    def _arn(self, name: str) -> str:
        """Return a queue's ARN, or in a dry run words for one that is not there."""
        return self._read(self.urls[name])["QueueArn"] if name in self.urls else f"(ARN of {name})"


def _same(found: str | None, wanted: str) -> bool:
    """Compare attributes, some of which are JSON, where order and number types mean nothing."""
    if found is None or found == wanted:
        return found == wanted
    try:
        return _plain(json.loads(found)) == _plain(json.loads(wanted))
    except ValueError:
        return False


def _plain(data: object) -> object:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(item) for item in data] if isinstance(data, list) else str(data)
