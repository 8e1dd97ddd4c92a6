"""The way from the topic to the raw queue: subscription, raw delivery, and the queue's policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from django.conf import settings

from harvest.doctor.findings import Finding, code_of, fault, is_denied, ok, warning
from harvest.doctor.queues import attributes_of

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

#: Whom a statement without a condition must not allow: everyone, or any topic of anybody's.
_ANYONE = ("*", {"AWS": "*"}, {"Service": "sns.amazonaws.com"})

SETUP = "Run manage.py setup_queues with the topic's ARN."


def examine(sqs: SQSClient, sns: SNSClient) -> Iterator[Finding]:
    """Look at the way of each topic; nothing where the raw queue can't be seen: that is said of it."""
    try:
        attributes = attributes_of(sqs, settings.RIKOLTI_EVENTS_QUEUE_URL)
    except ClientError:
        return
    if not settings.RIKOLTI_EVENTS_TOPIC_ARNS:
        yield warning("Topic: none is set.", "Set RIKOLTI_EVENTS_TOPIC_ARNS.")
    for topic_arn in settings.RIKOLTI_EVENTS_TOPIC_ARNS:
        name = f"Topic {topic_arn.rpartition(':')[2]}"
        yield from _examine_subscription(sns, name, topic_arn, attributes["QueueArn"])
        yield _examine_policy(name, topic_arn, attributes)


def _examine_subscription(
    sns: SNSClient, name: str, topic_arn: str, queue_arn: str
) -> Iterator[Finding]:
    try:
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
        subscriptions = [
            subscription["SubscriptionArn"]
            for page in pages
            for subscription in page["Subscriptions"]
            if subscription["Endpoint"] == queue_arn
        ]
        if not subscriptions:
            yield fault(f"{name}: the raw queue is not subscribed: no event arrives.", SETUP)
        for arn in subscriptions:
            if not arn.startswith("arn:"):  # what SNS writes there is "PendingConfirmation"
                yield fault(
                    f"{name}: the subscription was never confirmed.",
                    "Open the rejected message that asks for it, and run the command on its page.",
                )
                continue
            yield from _examine_delivery(name, sns.get_subscription_attributes(SubscriptionArn=arn))
    except ClientError as error:
        if is_denied(error):
            yield warning(
                f"{name}: its subscriptions may not be seen.",
                "Ask as someone who may, maybe Rikolti's own people: deploy/iam/operator.json.",
            )
        elif code_of(error) in ("NotFound", "NotFoundException"):
            yield fault(f"{name}: there is no such topic.", "Mend RIKOLTI_EVENTS_TOPIC_ARNS.")
        else:
            yield fault(
                f"{name}: AWS answers {code_of(error)}.", "See that region and credentials are right."
            )


def _examine_delivery(name: str, answer: Mapping[str, Any]) -> Iterator[Finding]:
    attributes = answer["Attributes"]
    if attributes.get("RawMessageDelivery") == "true":
        todo = "Set the subscription's RawMessageDelivery to false."
        if settings.RIKOLTI_VERIFY_SIGNATURES:
            yield fault(
                f"{name}: raw delivery is on, which has no signature: every event is rejected.", todo
            )
        else:
            yield warning(f"{name}: raw delivery is on: events have no time and id of SNS.", todo)
    else:
        yield ok(f"{name}: the raw queue is subscribed, and gets what SNS signed.")
    if attributes.get("FilterPolicy"):
        yield warning(
            f"{name}: the subscription has a filter: events that it leaves out are never seen.",
            "Remove the subscription's FilterPolicy, unless you know that it is right.",
        )


def _examine_policy(name: str, topic_arn: str, attributes: Mapping[str, str]) -> Finding:
    try:
        statements = json.loads(attributes.get("Policy") or "{}").get("Statement", [])
    except (ValueError, AttributeError):
        statements = []
    statements = [statements] if isinstance(statements, dict) else statements
    allowing = [s for s in statements if s.get("Effect") == "Allow" and _sends(s.get("Action"))]
    if any(not s.get("Condition") and s.get("Principal") in _ANYONE for s in allowing):
        return warning(
            f"{name}: the raw queue's policy lets anyone send to it.", "Name the topic in it."
        )
    if any(topic_arn in json.dumps(s.get("Condition", {})) for s in allowing):
        return ok(f"{name}: the raw queue's policy lets it send.")
    return fault(f"{name}: the raw queue's policy does not let it send: no event arrives.", SETUP)


def _sends(action: object) -> bool:
    actions = action if isinstance(action, list) else [action]
    return any(str(one).lower() in ("*", "sqs:*", "sqs:sendmessage") for one in actions)
