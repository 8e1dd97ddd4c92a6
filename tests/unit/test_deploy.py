"""The files in deploy/: as far as they can be looked at where no container and no AWS is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
import yaml

from avram.environment import ROOT
from avram.variables import REGISTRY
from harvest.heartbeats import LIVE_SECONDS, Part
from harvest.permissions import ALLOWED, OPERATOR, OPERATOR_OF_TOPIC, Process
from harvest.provision import DEAD_LETTER_RETENTION, DEAD_LETTERS, EVENTS, SPECS, topic_statement
from tests.documented import command_lines

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
TEMPLATE = DEPLOY / "cloudformation.yaml"

#: What botocore reads, and what the operators of the local AWS set.
OF_OTHERS = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: ``!Ref Topic`` is {"Ref": "Topic"}."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {suffix: loader.construct_scalar(node)}


Loader.add_multi_constructor("!", _short_form)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


# --- CloudFormation -------------------------------------------------------------------------------


def test_template_has_no_fault_that_cfn_lint_knows() -> None:
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    result = subprocess.run(
        [cfn_lint, "--regions", "us-west-2", "--", TEMPLATE], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (0, "")


def test_template_makes_the_queues_that_setup_queues_makes(resources: dict[str, Any]) -> None:
    queues = {
        one["Properties"]["QueueName"]: one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::SQS::Queue"
    }

    assert queues.keys() == {spec.name + end for spec in SPECS for end in ("", DEAD_LETTERS)}
    for spec in SPECS:
        properties, dead = queues[spec.name], queues[spec.name + DEAD_LETTERS]
        assert {key: str(properties[key]) for key in spec.attributes} == dict(spec.attributes)
        assert dead["MessageRetentionPeriod"] == DEAD_LETTER_RETENTION
        redrive = properties["RedrivePolicy"]
        assert redrive["maxReceiveCount"] == spec.max_receives
        target = redrive["deadLetterTargetArn"]["GetAtt"].removesuffix(".Arn")
        assert resources[target]["Properties"] is dead


def test_template_keeps_the_queues_when_the_stack_goes(resources: dict[str, Any]) -> None:
    for one in resources.values():
        if one["Type"] == "AWS::SQS::Queue":
            assert one["DeletionPolicy"] == one["UpdateReplacePolicy"] == "Retain"


def test_template_has_the_policy_of_setup_queues(resources: dict[str, Any]) -> None:
    topic = {"If": ["MakesTopic", {"Ref": "Topic"}, {"Ref": "TopicArn"}]}
    expected = topic_statement("queue", "topic") | {"Resource": {"GetAtt": "Events.Arn"}}
    expected["Condition"] = {"ArnEquals": {"aws:SourceArn": topic}}

    assert resources["EventsPolicy"]["Properties"]["PolicyDocument"]["Statement"] == [expected]
    assert resources["Subscription"]["Properties"] == {
        "TopicArn": topic,
        "Protocol": "sqs",
        "Endpoint": {"GetAtt": "Events.Arn"},
        "RawMessageDelivery": False,
    }


def test_template_has_alarms_for_each_queue(resources: dict[str, Any]) -> None:
    watched = {
        (one["Properties"]["MetricName"], one["Properties"]["Dimensions"][0]["Value"]["GetAtt"])
        for one in resources.values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    }

    assert watched == {
        ("ApproximateNumberOfMessagesVisible", "EventsDeadLetters.QueueName"),
        ("ApproximateNumberOfMessagesVisible", "TasksDeadLetters.QueueName"),
        ("ApproximateAgeOfOldestMessage", "Events.QueueName"),
        ("ApproximateAgeOfOldestMessage", "Tasks.QueueName"),
    }


# --- IAM ------------------------------------------------------------------------------------------


def statements(name: str) -> list[dict[str, Any]]:
    policy = json.loads((DEPLOY / "iam" / f"{name}.json").read_text())
    assert policy["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def actions_by_resource(name: str, prefix: str) -> dict[str, set[str]]:
    """Return what a policy allows with each resource whose ARN begins like this, by the rest of it."""
    allowed: dict[str, set[str]] = {}
    for statement in statements(name):
        assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
        for resource in statement["Resource"]:
            if resource.startswith(prefix):
                actions = {action.partition(":")[2] for action in statement["Action"]}
                allowed.setdefault(resource.removeprefix(prefix), set()).update(actions)
    return allowed


QUEUE = "arn:aws:sqs:us-west-2:123456789012:"


@pytest.mark.parametrize(
    ("name", "allowed"), [*ALLOWED.items(), ("operator", OPERATOR)], ids=[*Process, "operator"]
)
def test_policy_allows_what_is_done_with_queues_and_no_more(
    name: str, allowed: Mapping[str, frozenset[str]]
) -> None:
    assert actions_by_resource(name, QUEUE) == {
        queue: set(actions) for queue, actions in allowed.items()
    }


@pytest.mark.parametrize("process", Process)
def test_policy_of_a_process_has_besides_queues_how_old_messages_are_alone(process: Process) -> None:
    others = [one["Action"] for one in statements(process) if not one["Resource"][0].startswith(QUEUE)]

    assert others == ([["cloudwatch:GetMetricData"]] if process is Process.WORKER else [])


def test_policy_of_operators_allows_what_is_done_with_the_topic_and_no_more() -> None:
    topic = actions_by_resource("operator", "arn:aws:sns:us-west-2:123456789012:")
    found = actions_by_resource("operator", "*")

    assert topic.keys() == {EVENTS, f"{EVENTS}:*"}  # the second are its subscriptions
    assert topic[EVENTS] | found[""] == OPERATOR_OF_TOPIC


def test_who_asks_an_airflow_of_amazon_needs_the_same_whoever_it_is() -> None:
    """One file to add to the policies of worker and web, where there is such an Airflow."""
    of_mwaa = statements("mwaa")

    assert [
        one for one in statements("operator") if one["Sid"] in {two["Sid"] for two in of_mwaa}
    ] == of_mwaa
    assert [one["Action"] for one in of_mwaa] == [["airflow:InvokeRestApi"], ["sts:AssumeRole"]]


@pytest.mark.parametrize("name", [*Process, "operator", "mwaa"])
def test_policy_names_actions_that_there_are(name: str) -> None:
    session = botocore.session.get_session()
    for statement in statements(name):
        for action in statement["Action"]:
            prefix, _, operation = action.partition(":")
            # IAM calls MWAA by what it runs.
            service = {"airflow": "mwaa"}.get(prefix, prefix)
            assert operation in session.get_service_model(service).operation_names
        if statement["Resource"] == ["*"]:
            # What IAM gives for all or none.
            assert statement["Action"] in (["sns:ListTopics"], ["cloudwatch:GetMetricData"])


# --- systemd --------------------------------------------------------------------------------------


def test_there_is_a_unit_for_each_process() -> None:
    starts = [
        re.findall(r"^ExecStart=.* -m avram (\w+)", unit.read_text(), re.MULTILINE) for unit in UNITS
    ]

    assert sorted(starts) == [["beat"], ["flower"], ["web"], ["worker"]]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_is_hardened(unit: Path) -> None:
    lines = unit.read_text().splitlines()

    for line in (
        "User=avram",
        "EnvironmentFile=/etc/avram/avram.env",
        "EnvironmentFile=-/etc/avram/%p.env",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "Restart=always",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("name", "parts"), [("avram-worker@", [Part.WORKER]), ("avram-beat", [Part.BEAT])]
)
def test_unit_restarts_what_hangs(name: str, parts: list[Part]) -> None:
    """After more silence than is normal; web's master sees to its children, and Flower holds nothing."""
    unit = (DEPLOY / "systemd" / f"{name}.service").read_text()

    (seconds,) = re.findall(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert all(int(seconds) > LIVE_SECONDS[part] for part in parts)
    assert "\nNotifyAccess=main\n" in unit
    assert "\nRestart=always\n" in unit


def test_a_worker_has_as_long_to_end_wherever_it_runs(compose: dict[str, Any]) -> None:
    """docs/deploy.md has the number, and so have the comments."""
    unit = (DEPLOY / "systemd" / "avram-worker@.service").read_text()
    guide = (ROOT / "docs" / "deploy.md").read_text()
    texts = [
        *re.findall(r"TimeoutStopSec=(\d+)", unit),
        *re.findall(r"(\d+) s are enough", (DEPLOY / "Containerfile").read_text()),
        *re.findall(r"--stop-timeout (\d+)", guide),
        *re.findall(r"Give a worker (\d+) seconds", guide),
        compose["x-avram"]["stop_grace_period"].removesuffix("s"),
    ]

    assert texts == ["90"] * 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_is_one_that_systemd_takes(unit: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    copy = tmp_path / unit.name.replace("@.", "@one.")
    copy.write_text(
        unit.read_text()
        .replace("/opt/avram/.venv/bin/python", str(python))
        .replace("User=avram", "User=daemon")
        .replace("Group=avram", "Group=daemon")
    )

    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )

    said = [line for line in result.stderr.splitlines() if copy.name in line]
    assert said == []


# --- Containers -----------------------------------------------------------------------------------


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a container file, each with its words."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.splitlines() if line]


def test_image_has_two_stages_of_a_named_version() -> None:
    stages = [words for name, words in instructions("Containerfile") if name == "FROM"]

    assert stages == ["python:3.11-slim AS build", "python:3.11-slim"]


def test_last_stage_builds_nothing_and_is_no_root() -> None:
    every = instructions("Containerfile")
    last = every[max(i for i, (name, _) in enumerate(every) if name == "FROM") :]
    runs = " ".join(words for name, words in last if name == "RUN")

    assert not re.search(r"apt|gcc|pip install|build-essential", runs)
    assert ("USER", "10001") in last
    assert [name for name, _ in last].index("USER") > max(
        i for i, (n, _) in enumerate(last) if n == "RUN"
    )
    assert ("ENTRYPOINT", '["python", "-m", "avram"]') in last
    (health,) = (words for name, words in last if name == "HEALTHCHECK")
    assert '"deploy/alive.py"' in health


def test_image_is_built_in_a_format_that_has_health_checks() -> None:
    """Podman's own, OCI's, has none, and drops it."""
    builds = [line.text for line in command_lines() if line.text.startswith("podman build")]

    assert {line.file for line in command_lines() if line.text in builds} == {
        "docs/deploy.md", "deploy/Containerfile",
    }  # fmt: skip
    assert all("--format docker" in build for build in builds)


def test_image_has_what_is_imported_and_only_what_is_let_in() -> None:
    let_in = [
        line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line[0] == "!"
    ]
    copied = [
        source
        for name, words in instructions("Containerfile")
        if name == "COPY" and "--from" not in words
        for source in words.split()[:-1]
    ]

    assert sorted(copied) == sorted(let_in)
    assert {"celery_app.py", "avram", "harvest", "manage.py", "requirements.txt"} <= set(copied)
    assert all((ROOT / source).exists() for source in copied)


def test_compose_has_each_process_and_its_servers(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert services.keys() == {
        "database", "monitor", "aws", "prepare", "web", "worker", "beat", "flower",
    }  # fmt: skip
    for process in ("web", "worker", "beat", "flower"):
        assert services[process]["command"] == [process]
        assert services[process]["read_only"]
        # Whatever format the image was built in.
        assert services[process]["healthcheck"]["test"] == ["CMD", "python", "deploy/alive.py"]
        assert services[process]["depends_on"]["prepare"] == {
            "condition": "service_completed_successfully"
        }
    for name, service in services.items():
        assert "healthcheck" in service
        assert not service.get("privileged")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not str(service.get("image", "")).endswith(":latest")


def test_compose_sets_variables_that_are_read(compose: dict[str, Any]) -> None:
    environment = compose["x-avram"]["environment"]

    assert environment.keys() <= REGISTRY.keys() | OF_OTHERS
    for name, value in environment.items():
        if name in REGISTRY:
            REGISTRY[name].parse(value)
    assert environment["RIKOLTI_EVENTS_QUEUE_URL"].endswith(f"/{EVENTS}")
    # So that the admin has its link.
    assert f"{urlsplit(environment['FLOWER_URL']).port}:" in compose["services"]["flower"]["ports"][0]


# --- Whether a process is alive -------------------------------------------------------------------


def alive(proc: Path, **environ: str) -> bool:
    program = (
        "import sys, pathlib; from alive import is_alive; print(is_alive(pathlib.Path(sys.argv[1])))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, proc],
        cwd=DEPLOY, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return result.stdout.endswith("True\n")


def add_process(
    proc: Path, number: int | str, command: str, state: str = "S", container: str = "mnt:[1]"
) -> None:
    """Make up what /proc tells of a process."""
    folder = proc / str(number)
    (folder / "ns").mkdir(parents=True)
    (folder / "ns" / "mnt").symlink_to(container)
    (folder / "cmdline").write_bytes("\0".join(command.split()).encode() + b"\0")
    (folder / "stat").write_text(f"{number} (a (name) ) {state} 0 1")


WORKER = "python -m avram.celeryprocess worker"
WEB = "python -m gunicorn avram.wsgi"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc without processes, but for the one that asks; a worker has touched its file."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "worker-one").write_text(str(os.getpid()))
    add_process(tmp_path / "proc", "self", "python deploy/alive.py")
    return tmp_path / "proc"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"SECRET_KEY": "of tests", "RUNTIME_DIR": str(tmp_path / "run"), "PORT": "1"}


@pytest.mark.parametrize(
    ("command", "state", "is_alive"),
    [
        (WORKER, "S", True),
        ("python -m avram.celeryprocess beat", "R", False),  # it has touched no file
        (WORKER, "T", False),
        ("python -m avram.celeryprocess beat", "Z", False),
        ("python -m celery -A celery_app:monitor flower", "S", False),
        (WEB, "S", False),
        ("sleep 1", "S", False),
        ("python manage.py alive worker", "S", False),
    ],
)
def test_alive(proc: Path, environ: dict[str, str], command: str, state: str, is_alive: bool) -> None:
    add_process(proc, 1, command, state)

    assert alive(proc, **environ) is is_alive


@pytest.mark.parametrize(
    "first",
    ["tini -- python -m avram worker", "/sbin/docker-init -- python -m avram worker", "/pause"],
)
def test_alive_where_another_process_is_the_first(
    proc: Path, environ: dict[str, str], first: str
) -> None:
    add_process(proc, 1, first, container="mnt:[2]" if first == "/pause" else "mnt:[1]")
    add_process(proc, 10, WORKER)
    add_process(proc, 9, WEB, container="mnt:[3]")  # of the same pod

    assert alive(proc, **environ)


def test_alive_with_an_init_alone(proc: Path, environ: dict[str, str]) -> None:
    add_process(proc, 1, "tini -- python -m avram worker")

    assert not alive(proc, **environ)


def test_policies_are_of_one_account_that_is_nobodys() -> None:
    for file in (DEPLOY / "iam").iterdir():
        accounts = set(re.findall(r"\b\d{12}\b", file.read_text()))
        assert accounts <= {"123456789012"}
