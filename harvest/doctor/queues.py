"""The queues: whether they are there, keep what they are given, and may be used by this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from django.conf import settings

from harvest import permissions
from harvest.doctor.findings import Finding, code_of, fault, is_denied, ok, warning
from harvest.permissions import Process
from harvest.provision import DEAD_LETTERS, EVENTS, SPECS, TASKS, QueueSpec
from harvest.queues import ABSENT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

APPLY = "Run manage.py setup_queues --apply."

#: Requests that AWS refuses to everyone, for what they ask; but first of all to one who may not.
#: None does anything: the receipt handle is of no message, the batch has one id twice.
_NO_HANDLE = "doctor"
_TWICE = [{"Id": "doctor", "MessageBody": "doctor"}] * 2


def urls() -> dict[str, str]:
    """Return the URLs of the two queues by the names that provision has for them."""
    return {EVENTS: settings.RIKOLTI_EVENTS_QUEUE_URL, TASKS: settings.AVRAM_TASKS_QUEUE_URL}


def examine(sqs: SQSClient, process: Process) -> Iterator[Finding]:
    """Look at both queues, their dead letters, and what this process may do with them."""
    for spec in SPECS:
        url = urls()[spec.name]
        if url:
            dead_url = yield from _examine_queue(sqs, spec, url)
            yield from _examine_permissions(sqs, process, spec.name, url)
            if dead_url:
                yield from _examine_permissions(sqs, process, spec.name + DEAD_LETTERS, dead_url)
        else:
            yield fault(f"Queue {spec.name}: no URL is set.", "Set RIKOLTI_EVENTS_QUEUE_URL.")


def examine_keeping(sqs: SQSClient) -> Iterator[Finding]:
    """Look at what the settings of both queues, as far as they have a URL, and of their dead letters do
    to messages; nothing but their attributes is asked for.

    Raises:
        BotoCoreError: AWS can't be asked.
    """
    for spec in SPECS:
        if url := urls()[spec.name]:
            yield from _examine_queue(sqs, spec, url)


def attributes_of(sqs: SQSClient, url: str) -> Mapping[str, str]:
    """Return a queue's attributes. Raises ClientError."""
    response = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in response.get("Attributes", {}).items()}


def _examine_queue(sqs: SQSClient, spec: QueueSpec, url: str) -> Generator[Finding, None, str | None]:
    """Return the URL of its dead letters, where they are."""
    name = url.rpartition("/")[2]
    try:
        attributes = attributes_of(sqs, url)
    except ClientError as error:
        yield _unseen(f"Queue {name}", error)
        return None
    yield ok(
        f"Queue {name}: it is there, and {attributes['ApproximateNumberOfMessages']} messages wait."
    )
    yield _examine_visibility(spec, name, attributes)
    yield _examine_number(spec, name, attributes, "MessageRetentionPeriod", "keeps messages", "seconds")
    yield _examine_number(spec, name, attributes, "MaximumMessageSize", "takes messages of", "bytes")
    return (yield from _examine_redrive(sqs, spec, name, attributes))


def _examine_visibility(spec: QueueSpec, name: str, attributes: Mapping[str, str]) -> Finding:
    seconds = int(attributes["VisibilityTimeout"])
    # A worker holds so many tasks for each process, and the last of them waits for all others.
    longest = settings.CELERY_TASK_TIME_LIMIT * settings.CELERY_WORKER_PREFETCH_MULTIPLIER
    if spec.name == TASKS and seconds <= longest:
        return fault(
            f"Queue {name}: it hides a task for {seconds} s, and a worker may need {longest} s: tasks "
            "are done twice at once, and some end among the dead letters.",
            APPLY,
        )
    return _examine_number(spec, name, attributes, "VisibilityTimeout", "hides messages for", "seconds")


def _examine_number(
    spec: QueueSpec, name: str, attributes: Mapping[str, str], key: str, does: str, unit: str
) -> Finding:
    found, wanted = int(attributes[key]), int(spec.attributes[key])
    if found < wanted:
        return warning(f"Queue {name}: it {does} {found} {unit}, less than {wanted} ({key}).", APPLY)
    return ok(f"Queue {name}: it {does} {found} {unit}.")


def _examine_redrive(
    sqs: SQSClient, spec: QueueSpec, name: str, attributes: Mapping[str, str]
) -> Generator[Finding, None, str | None]:
    try:
        policy: dict[str, Any] = json.loads(attributes.get("RedrivePolicy") or "{}")
    except ValueError:
        policy = {}
    if not policy.get("deadLetterTargetArn"):
        yield fault(
            f"Queue {name}: it has no redrive policy. What fails is tried for ever, and then gone.",
            APPLY,
        )
        return None
    receives = int(policy.get("maxReceiveCount", 0))
    if receives < spec.max_receives:
        yield warning(
            f"Queue {name}: after {receives} deliveries a message is a dead letter, less than "
            f"{spec.max_receives}: an hour without the database may be enough.",
            APPLY,
        )
    dead = policy["deadLetterTargetArn"].rpartition(":")[2]
    try:
        dead_url = sqs.get_queue_url(QueueName=dead)["QueueUrl"]
        found = attributes_of(sqs, dead_url)
    except ClientError as error:
        yield _unseen(f"Dead letters {dead}", error)
        return None
    kept, wanted = int(found["MessageRetentionPeriod"]), int(attributes["MessageRetentionPeriod"])
    if kept <= wanted:
        yield fault(
            f"Dead letters {dead}: kept for {kept} s from when they were first sent, no longer than "
            f"{name} keeps them ({wanted} s): some are gone as they arrive.",
            APPLY,
        )
    else:
        yield ok(f"Dead letters {dead}: kept for {kept} s.")
    waiting = int(found["ApproximateNumberOfMessages"])
    if waiting:
        yield warning(
            f"Dead letters {dead}: {waiting} are there.",
            "See in the logs why, mend it, and take them up again: docs/dead-letters.md.",
        )
    return dead_url


def _unseen(what: str, error: ClientError) -> Finding:
    if code_of(error) in ABSENT:
        return fault(f"{what}: there is no such queue.", "Run manage.py setup_queues, or mend the URL.")
    if is_denied(error):
        return warning(
            f"{what}: its attributes may not be seen.",
            "Ask as someone who may: deploy/iam/operator.json.",
        )
    return fault(f"{what}: AWS answers {code_of(error)}.", "See that region and credentials are right.")


def _examine_permissions(sqs: SQSClient, process: Process, name: str, url: str) -> Iterator[Finding]:
    """Ask for what can be asked for without doing it: a move of messages can't."""
    allowed = permissions.ALLOWED[process].get(name, frozenset())
    for action in sorted(allowed & _REQUESTS.keys()):
        yield _examine_permission(sqs, process, action, url)


def _examine_permission(sqs: SQSClient, process: Process, action: str, url: str) -> Finding:
    what = f"Queue {url.rpartition('/')[2]}: {process}'s sqs:{action}"
    try:
        _REQUESTS[action](sqs, url)
    except ClientError as error:
        if is_denied(error):
            return fault(f"{what} is not allowed.", f"See deploy/iam/{process}.json.")
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500:
            return warning(f"{what}: AWS answers {code_of(error)}.", "Ask again.")
        if code_of(error) in ABSENT:
            return fault(f"{what}: there is no such queue.", "Run manage.py setup_queues.")
    return ok(f"{what} is allowed.")


_REQUESTS: Mapping[str, Callable[[SQSClient, str], object]] = {
    permissions.SEND: lambda sqs, url: sqs.send_message_batch(
        QueueUrl=url,
        Entries=_TWICE,  # type: ignore[arg-type] # the keys are right
    ),
    permissions.RECEIVE: lambda sqs, url: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11),
    permissions.DELETE: lambda sqs, url: sqs.delete_message(QueueUrl=url, ReceiptHandle=_NO_HANDLE),
    permissions.HIDE: lambda sqs, url: sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=_NO_HANDLE, VisibilityTimeout=0
    ),
    permissions.LOOK: lambda sqs, url: sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    ),
}
