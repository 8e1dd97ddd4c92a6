"""manage.py doctor on a real wire: a sound set-up, and each way in which one can be broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import StringIO
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult
from pytest_django import Settings

from harvest import airflow_api
from harvest.airflow_api.hosts import parse_hosts
from harvest.doctor import world
from harvest.doctor.findings import Level
from harvest.models import Heartbeat
from harvest.provision import DEAD_LETTERS, EVENTS, TASKS, Provisioner
from harvest.startcheck import StartCheck, tell_doubtful
from local.servers import monitoring_broker
from tests.broker.processes import wait_until
from tests.broker.wire import Wire
from tests.environment import TEMPORARY, free_port
from tests.logged import entries

pytestmark = pytest.mark.django_db

EVENTS_DEAD, TASKS_DEAD = EVENTS + DEAD_LETTERS, TASKS + DEAD_LETTERS

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def sound(wire: Wire, settings: Settings) -> Iterator[None]:
    """A pipeline that is as it should be, but for monitoring broker and Airflows."""
    settings.DEBUG = True
    wire.remove_queues()
    for topic in wire.sns.list_topics()["Topics"]:
        wire.sns.delete_topic(TopicArn=topic["TopicArn"])
    list(Provisioner(sqs=wire.sqs, sns=wire.sns).run())
    PeriodicTask.objects.filter(task="harvest.reconcile_runs").update(last_run_at=timezone.now())
    for part in Heartbeat.Part:
        Heartbeat.objects.create(part=part, host="one@host", at=timezone.now())
    yield
    airflow_api.configure(settings.AIRFLOW_HOSTS)


def doctor(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines."""
    output = StringIO()
    try:
        call_command("doctor", *arguments, stdout=output, no_color=True)
    except SystemExit as end:
        return int(str(end.code)), output.getvalue().splitlines()
    return 0, output.getvalue().splitlines()


def faults(*arguments: str) -> list[str]:
    """Return the faults, without what to do; each says that, too."""
    code, lines = doctor(*arguments)
    found = [line.removeprefix("fault").strip() for line in lines if line.startswith("fault")]
    assert code == bool(found), lines
    return found


def change(wire: Wire, name: str, **attributes: str) -> None:
    wire.sqs.set_queue_attributes(
        QueueUrl=wire.url(name),
        Attributes=attributes,  # type: ignore[arg-type] # the keys are right
    )


@contextmanager
def aws_answers(
    operation: str, status: int, code: str, ahead: timedelta = timedelta()
) -> Iterator[None]:
    """Let AWS answer one operation with an error: by the session that all clients are made of."""

    def answer(request: Any, **kwargs: Any) -> AWSResponse:
        body = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
        if operation.startswith("sqs."):
            body = json.dumps({"__type": code, "message": "no"})
        headers = HTTPHeaders.from_dict({"date": format_datetime(datetime.now(UTC) - ahead)})
        raw = SimpleNamespace(stream=lambda: [body.encode()])
        return AWSResponse(request.url, status, headers, raw)

    boto3.setup_default_session()
    events = boto3.DEFAULT_SESSION._session.get_component("event_emitter")  # type: ignore[union-attr]
    events.register(f"before-send.{operation}", answer)
    try:
        yield
    finally:
        boto3.setup_default_session()


# --- As it should be ------------------------------------------------------------------------------


def test_doctor_finds_a_sound_pipeline_sound(wire: Wire) -> None:
    code, lines = doctor()

    assert code == 0
    assert lines[-1] == "0 faults, 2 warnings"
    assert [line.partition(":")[0] for line in lines if line.startswith("warning")] == [
        "warning  Monitoring broker",
        "warning  Airflow",
    ]
    for word in (
        "Database: all migrations are there.",
        "Beat: 1 alive.",
        "Workers: 1 alive.",
        "Consumers: 1 alive.",
        "Clock: ours is AWS's.",
        f"Queue {EVENTS}: it is there, and 0 messages wait.",
        f"Queue {TASKS}: it hides messages for 300 seconds.",
        f"Queue {TASKS}: worker's sqs:SendMessage is allowed.",
        f"Dead letters {TASKS}{DEAD_LETTERS}: kept for 1209600 s.",
        f"Topic {EVENTS}: the raw queue is subscribed, and gets what SNS signed.",
        f"Topic {EVENTS}: the raw queue's policy lets it send.",
    ):
        assert f"ok       {word}" in lines


def test_doctor_changes_nothing(wire: Wire) -> None:
    wire.send(["waits"])
    before = [wire.attributes(name) for name in (EVENTS, TASKS)]

    doctor()

    assert [wire.attributes(name) for name in (EVENTS, TASKS)] == before
    messages = wire.sqs.receive_message(
        QueueUrl=wire.url(EVENTS), MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert [one["Attributes"]["ApproximateReceiveCount"] for one in messages] == ["1"]


def test_doctor_tells_no_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MONITOR_BROKER_URL = f"redis://:s3cr3t@127.0.0.1:{free_port()}/0"
    monkeypatch.setenv("THE_PASSWORD", "s3cr3t")
    airflow_api.configure(airflow_hosts(f"http://127.0.0.1:{free_port()}"))

    assert "s3cr3t" not in "".join(doctor()[1])


# --- Queues ---------------------------------------------------------------------------------------


def test_doctor_misses_a_queue(wire: Wire) -> None:
    wire.sqs.delete_queue(QueueUrl=wire.url(TASKS))

    assert (
        f"Queue {TASKS}: there is no such queue. Run manage.py setup_queues, or mend the URL."
        in faults()
    )


def test_doctor_finds_a_short_visibility_timeout(wire: Wire) -> None:
    change(wire, TASKS, VisibilityTimeout="240")
    change(wire, EVENTS, VisibilityTimeout="60")

    (found,) = faults()

    assert found.startswith(f"Queue {TASKS}: it hides a task for 240 s, and a worker may need 240 s")
    assert any(f"{EVENTS}: it hides messages for 60 seconds, less" in line for line in doctor()[1])


def test_doctor_finds_a_missing_redrive_policy(wire: Wire) -> None:
    change(wire, EVENTS, RedrivePolicy="")

    (found,) = faults()

    assert found.startswith(f"Queue {EVENTS}: it has no redrive policy.")
    assert found.endswith("Run manage.py setup_queues --apply.")


def test_doctor_finds_dead_letters_that_die_young(wire: Wire) -> None:
    change(wire, EVENTS + DEAD_LETTERS, MessageRetentionPeriod="345600")

    (found,) = faults()

    assert found.startswith(f"Dead letters {EVENTS}{DEAD_LETTERS}: kept for 345600 s from when")


def test_doctor_misses_a_dead_letter_queue(wire: Wire) -> None:
    wire.sqs.delete_queue(QueueUrl=wire.url(TASKS + DEAD_LETTERS))

    (found,) = faults()

    assert found.startswith(f"Dead letters {TASKS}{DEAD_LETTERS}: there is no such queue.")


def test_doctor_warns_of_dead_letters_and_few_deliveries(wire: Wire) -> None:
    wire.sqs.send_message(QueueUrl=wire.url(TASKS + DEAD_LETTERS), MessageBody="{}")
    redrive = json.loads(wire.attributes(TASKS)["RedrivePolicy"]) | {"maxReceiveCount": 3}
    change(wire, TASKS, RedrivePolicy=json.dumps(redrive), MessageRetentionPeriod="3600")

    text = "\n".join(doctor()[1])

    assert f"warning  Dead letters {TASKS}{DEAD_LETTERS}: 1 are there." in text
    assert f"warning  Queue {TASKS}: after 3 deliveries a message is a dead letter, less than 20" in text
    assert f"warning  Queue {TASKS}: it keeps messages 3600 seconds, less than 345600" in text


def test_worker_that_starts_tells_what_would_lose_messages(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    change(wire, TASKS, VisibilityTimeout="240")
    change(wire, EVENTS, RedrivePolicy="")
    change(wire, TASKS_DEAD, MessageRetentionPeriod="345600")

    StartCheck(None).start(None)

    wait_until(lambda: len(entries(caplog, "setting_doubtful")) == 3, "three warnings")
    assert [entry["problem"].partition(".")[0] for entry in entries(caplog, "setting_doubtful")] == [
        f"Queue {EVENTS}: it has no redrive policy",
        f"Queue {TASKS}: it hides a task for 240 s, and a worker may need 240 s: tasks are done twice "
        "at once, and some end among the dead letters",
        f"Dead letters {TASKS_DEAD}: kept for 345600 s from when they were first sent, no longer than "
        f"{TASKS} keeps them (345600 s): some are gone as they arrive",
    ]


def test_worker_that_starts_on_sound_queues_or_without_aws_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_doubtful()
    assert entries(caplog, "setting_doubtful") == entries(caplog, "queues_not_examined") == []

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    tell_doubtful()

    (entry,) = entries(caplog, "queues_not_examined")
    assert entry["error"].startswith("Could not connect to the endpoint")


# --- Permissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "action", "queues"),
    [
        ("sqs.ReceiveMessage", "ReceiveMessage", [EVENTS, EVENTS_DEAD, TASKS, TASKS_DEAD]),
        ("sqs.DeleteMessage", "DeleteMessage", [EVENTS, EVENTS_DEAD, TASKS, TASKS_DEAD]),
        ("sqs.ChangeMessageVisibility", "ChangeMessageVisibility", [EVENTS, TASKS]),
        ("sqs.SendMessageBatch", "SendMessage", [TASKS]),
    ],
)
def test_doctor_finds_what_is_not_allowed(operation: str, action: str, queues: list[str]) -> None:
    with aws_answers(operation, 403, "AccessDenied"):
        found = faults()

    assert found == [
        f"Queue {queue}: worker's sqs:{action} is not allowed. See deploy/iam/worker.json."
        for queue in queues
    ]


def test_doctor_asks_for_what_the_process_needs_alone() -> None:
    with aws_answers("sqs.ReceiveMessage", 403, "AccessDenied"):
        assert faults("--process=beat") == []
    with aws_answers("sqs.SendMessageBatch", 403, "AccessDenied"):
        (found,) = faults("--process=beat")
    assert found.startswith(f"Queue {TASKS}: beat's sqs:SendMessage is not allowed.")


def test_doctor_without_leave_to_look_says_so() -> None:
    with aws_answers("sqs.GetQueueAttributes", 403, "AccessDenied"):
        code, lines = doctor("--process=beat")

    assert code == 0
    assert sum("its attributes may not be seen. Ask as someone who may" in line for line in lines) == 2


def test_doctor_while_aws_is_away_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    (found,) = faults()

    assert found.startswith("AWS: it can't be asked: Could not connect to the endpoint")
    assert any(line.startswith("ok       Beat") for line in doctor()[1])


# --- Topic ----------------------------------------------------------------------------------------


def subscription(wire: Wire, topic_arn: str) -> str:
    (found,) = wire.sns.list_subscriptions_by_topic(TopicArn=topic_arn)["Subscriptions"]
    return found["SubscriptionArn"]


def test_doctor_misses_the_subscription(wire: Wire, settings: Settings) -> None:
    (topic_arn,) = settings.RIKOLTI_EVENTS_TOPIC_ARNS
    wire.sns.unsubscribe(SubscriptionArn=subscription(wire, topic_arn))

    (found,) = faults()

    assert found.startswith(f"Topic {EVENTS}: the raw queue is not subscribed: no event arrives.")


def test_doctor_misses_the_topic(wire: Wire, settings: Settings) -> None:
    (topic_arn,) = settings.RIKOLTI_EVENTS_TOPIC_ARNS
    wire.sns.delete_topic(TopicArn=topic_arn)

    (found,) = faults()

    assert found.startswith(f"Topic {EVENTS}: there is no such topic.")


def test_doctor_finds_raw_delivery(wire: Wire, settings: Settings) -> None:
    (topic_arn,) = settings.RIKOLTI_EVENTS_TOPIC_ARNS
    wire.sns.set_subscription_attributes(
        SubscriptionArn=subscription(wire, topic_arn),
        AttributeName="RawMessageDelivery",
        AttributeValue="true",
    )

    assert faults() == []  # nothing is verified in DEBUG
    assert any("raw delivery is on: events have no time" in line for line in doctor()[1])
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    (found,) = faults()
    assert found.startswith(f"Topic {EVENTS}: raw delivery is on, which has no signature: every event")


@pytest.mark.parametrize(
    ("policy", "level", "said"),
    [
        ("", Level.FAULT, "does not let it send: no event arrives"),
        (
            {"Effect": "Allow", "Principal": "*", "Action": "SQS:*"},
            Level.WARNING,
            "lets anyone send to it",
        ),
        (
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": ["sqs:SendMessage"],
                "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-west-2:0:other"}},
            },
            Level.FAULT,
            "does not let it send",
        ),
    ],
    ids=["none", "anyone", "another"],
)
def test_doctor_reads_the_policy(wire: Wire, policy: Any, level: Level, said: str) -> None:
    change(wire, EVENTS, Policy=json.dumps({"Statement": policy}) if policy else "")

    assert any(line.startswith(level) and said in line for line in doctor()[1])


def test_doctor_without_leave_to_see_subscriptions_says_so() -> None:
    with aws_answers("sns.ListSubscriptionsByTopic", 403, "AuthorizationError"):
        code, lines = doctor()

    assert code == 0
    assert any("its subscriptions may not be seen" in line for line in lines)


# --- The rest -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "level", "said"),
    [
        (0, Level.OK, "ours is AWS's"),
        (4, Level.OK, "ours is AWS's"),
        (-90, Level.WARNING, "90 s behind AWS's"),
        (90, Level.WARNING, "90 s ahead of AWS's"),
        (3600, Level.FAULT, "3600 s ahead of AWS's: AWS refuses requests"),
    ],
)
def test_judge_clock(seconds: int, level: Level, said: str) -> None:
    ours = NOW + timedelta(seconds=seconds)

    finding = world.judge_clock("Tue, 24 Nov 2026 12:00:00 GMT", ours, ours)

    assert finding.level == level
    assert said in finding.what


def test_judge_clock_without_a_time() -> None:
    assert world.judge_clock("", NOW, NOW).level == Level.WARNING


def test_doctor_reads_the_clock_of_a_refusal() -> None:
    with aws_answers("sqs.GetQueueAttributes", 403, "RequestExpired", ahead=timedelta(hours=1)):
        assert any("s ahead of AWS's: AWS refuses requests." in line for line in faults())


def test_doctor_misses_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'harvest' AND name LIKE '0004%'")

    (found,) = faults()

    missing = "harvest 0004_statistics"
    assert found == f"Database: 1 migrations are missing ({missing}). Run manage.py migrate."


def test_doctor_while_the_database_is_away_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise DatabaseError("connection refused\n\tIs it up?")

    monkeypatch.setattr(connection, "ensure_connection", refuse)

    found, *_ = faults()

    assert found.startswith("Database: it can't be asked (DatabaseError: connection refused).")


def test_doctor_finds_the_monitoring_broker(settings: Settings) -> None:
    port = free_port()
    settings.MONITOR_BROKER_URL = f"redis://127.0.0.1:{port}/0"

    assert any(
        line.startswith("warning  Monitoring broker: it can't be reached") for line in doctor()[1]
    )
    with monitoring_broker(port, TEMPORARY / "monitor.log"):
        assert "ok       Monitoring broker: it answers." in doctor()[1]


def airflow_hosts(address: str) -> dict[str, Any]:
    host = {"kind": "airflow2", "username": "avram", "password_env": "THE_PASSWORD"}
    return parse_hosts(json.dumps({address: host}), debug=True)


def test_doctor_misses_an_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PASSWORD", "s3cr3t")
    address = f"http://127.0.0.1:{free_port()}"
    airflow_api.configure(airflow_hosts(address))

    (found,) = faults()

    assert found.startswith(f"Airflow {address} (airflow2, avram): no answer:")


@pytest.mark.parametrize(
    ("error", "level", "said"),
    [
        (airflow_api.NotFound("no such run"), "ok", "it answers, and knows us."),
        (airflow_api.Refused("401"), "fault", "it refuses us: 401."),
    ],
)
def test_doctor_asks_each_airflow(
    monkeypatch: pytest.MonkeyPatch, error: Exception, level: str, said: str
) -> None:
    monkeypatch.setenv("THE_PASSWORD", "s3cr3t")
    airflow_api.configure(airflow_hosts("https://airflow.example.org"))

    def get_run(client: airflow_api.Client, dag_id: str, dag_run_id: str) -> None:
        raise error

    monkeypatch.setattr(airflow_api.Client, "get_run", get_run)

    (line,) = (line for line in doctor()[1] if "Airflow" in line)
    assert line.startswith(level)
    assert f"Airflow https://airflow.example.org (airflow2, avram): {said}" in line


def test_doctor_finds_a_beat_that_stopped() -> None:
    sweeps = PeriodicTask.objects.filter(task="harvest.reconcile_runs")
    sweeps.update(last_run_at=timezone.now() - timedelta(hours=5))
    assert faults() == [
        "Beat: its last sweep was 5 h ago. Start it, one and no more: python -m avram beat."
    ]

    sweeps.update(last_run_at=None)
    assert any(line.startswith("warning  Beat: it has sent no sweep yet.") for line in doctor()[1])

    sweeps.update(enabled=False)
    (found,) = faults()
    assert found.startswith("Beat: the sweep is not scheduled")


def test_doctor_tells_when_the_last_task_was_done() -> None:
    TaskResult.objects.create(task_id="one")
    TaskResult.objects.update(date_done=timezone.now() - timedelta(minutes=3))

    assert "ok       Tasks: the last was done 3 min ago." in doctor()[1]


def test_doctor_tells_what_the_checks_say(settings: Settings) -> None:
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = []

    (found,) = faults()

    assert found.startswith("Settings: RIKOLTI_EVENTS_TOPIC_ARNS is not set")
