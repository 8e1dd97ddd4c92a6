"""Command lines of the docs, as they stand there, in a folder and on queues of the test's own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from avram.environment import ROOT
from harvest.permissions import ALLOWED, OPERATOR, OPERATOR_OF_TOPIC, Process
from tests.broker.wire import Wire
from tests.documented import CommandLine, command_lines
from tests.factories import airflow_event

#: What is run, in this order, by how it begins. What the docs call by another name stands beside it.
RUN = (
    "python manage.py migrate",
    "python manage.py setup_queues --dry-run --topic-arn ARN-OF-RIKOLTI",
    "python manage.py setup_queues --topic-arn ARN-OF-RIKOLTI",
    ".venv/bin/python manage.py publish_events event.jsonl",
    "python manage.py rikolti_status",
    "python manage.py import_registry --from registry.jsonl",
    "python manage.py prune --dry-run",
    "python manage.py prune",
    "python manage.py redrive_dead_letters events --dry-run",
    "python manage.py redrive_dead_letters events",
    "python manage.py redrive_dead_letters tasks --limit 1",
)
#: What is not run here: with tests of its own, or (what records messages) writing into the sources.
ELSEWHERE = {"make", "backfill_runs", "alive", "import_registry", "bench", "tests"}
#: What an operator may (deploy/iam), and a worker besides.
AS_WORKER = {
    name: allowed | ALLOWED[Process.WORKER].get(name, frozenset()) for name, allowed in OPERATOR.items()
}
NAMES = {"ARN-OF-RIKOLTI": "arn:aws:sns:us-west-2:000000000000:rikolti-events"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the docs speak of."""
    (tmp_path / "event.jsonl").write_text(json.dumps(airflow_event()) + "\n")
    (tmp_path / "registry.jsonl").write_text(
        json.dumps(
            {
                "model": "library_collection.harvestrun",
                "pk": 1,
                "fields": {"dag_id": "d", "dag_run_id": "r", "logical_date": "2024-11-24T05:00:00Z"},
            }
        )
        + "\n"
    )
    return tmp_path


def execute(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [NAMES.get(word, word) for word in shlex.split(line)]
    words[0] = sys.executable
    if words[1] == "manage.py":
        words[1] = str(ROOT / "manage.py")
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder / 'docs.sqlite3'}",
        "PYTHONPATH": str(ROOT / "tests" / "recorder"),
        "AWS_RECORD": str(folder / "asked"),
    }
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_command_lines_run(wire: Wire, folder: Path) -> None:
    documented = {line.text for line in command_lines()}
    assert set(RUN) <= documented

    services: set[str] = set()
    for line in RUN:
        result = execute(line, folder)

        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        # It takes messages, as a worker does.
        services |= services_asked(folder, AS_WORKER if line.endswith("rikolti_status") else OPERATOR)

    assert services == {"sns", "sqs"}


def test_doctor_asks_for_what_operator_and_process_are_allowed(wire: Wire, folder: Path) -> None:
    result = execute("python manage.py doctor", folder)

    assert "0 faults" not in result.stdout  # there is no database yet
    assert services_asked(folder, AS_WORKER) == {"sns", "sqs"}


def services_asked(folder: Path, allowed: Mapping[str, frozenset[str]]) -> set[str]:
    """Return which services of AWS were asked since the last time, for nothing but what is allowed."""
    services = set()
    asked = folder / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    asked.unlink(missing_ok=True)
    for line in lines:
        service, operation, name = line.split(" ")
        services.add(service)
        actions = OPERATOR_OF_TOPIC if service == "sns" else allowed[name]
        assert operation.removesuffix("Batch") in actions, line
    return services


def test_lines_that_are_not_run_have_their_place() -> None:
    """All others are make's, which CI and people run, or are looked up by tests/unit/test_docs.py."""
    rest = [line for line in command_lines() if line.text not in RUN and line.reason is None]

    assert {_kind(line) for line in rest} <= ELSEWHERE


def _kind(line: CommandLine) -> str:
    words = [word for word in line.text.split() if "=" not in word]
    if words[0] == "make":
        return "make"
    return words[words.index("manage.py") + 1] if "manage.py" in words else words[2].partition(".")[0]
