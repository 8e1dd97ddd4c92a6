"""What `make soak` says of logs and memory; tests/db/test_soak.py has what it says of tables."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from bench.figures import Figure
from bench.soak import logs, memory, scraped
from local import demo
from local.scripts import scripts


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("01:35:35 worker | 2026-11-28 01:35:35,257 INFO    celery.worker: Connected", "info"),
        ("01:35:35 flower | 2026-11-28 01:35:35,016 WARNING flower.inspector: failed", "warning"),
        ("01:35:35 worker | 2026-11-28 01:35:35,257 ERROR   celery.app.trace: Task failed", "error"),
        ("01:35:35 web    | [2026-11-28 01:35:27 +0000] [12200] [INFO] Starting gunicorn", "info"),
        ("01:35:35 web    | [2026-11-28 01:35:27 +0000] [12200] [ERROR] Worker (pid:1) ended", "error"),
        ("01:35:35 web    | Traceback (most recent call last):", "error"),
        ("01:35:35 demo   | could not publish: ERROR", ""),
        ("2026-11-28 01:35:26 INFO [sns] SNS publish: {'text': 'Traceback ERROR'}", "info"),
        ("[E 261128 01:35:26 web:1] Uncaught exception", "error"),
        ('01:35:35 worker | {"event": "ERROR", "level": "info"}', "info"),
        ('01:35:35 worker | {"event": "task.failed", "level": "error"}', "error"),
        ('{"event": "gone", "level": "critical", "timestamp": "x"}', "critical"),
        (
            "\x1b[2m2026-11-28T01:35:35.000Z\x1b[0m [\x1b[31merror  \x1b[0m] \x1b[1mtask\x1b[0m",
            "error",
        ),
        ("{not JSON", ""),
        ("", ""),
    ],
)
def test_level_of_a_line(line: str, level: str) -> None:
    assert logs.level(line) == level


def test_warnings_are_counted_whatever_numbers_they_have() -> None:
    lines = [f"01:35:3{n} worker | 2026-11-28 01:35:35,016 WARNING a: message {n}" for n in range(3)]

    assert list(logs.warnings(lines).values()) == [3]
    assert logs.errors(lines) == []


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/avram/bin/python -m avram.celeryprocess worker --concurrency=2", "worker"),
        ("/opt/avram/bin/python -m avram.celeryprocess beat", "beat"),
        ("python -m celery -A celery_app:monitor flower --address=127.0.0.1", "flower"),
        ("python -m gunicorn avram.wsgi --workers 2", "web"),
        ("python -m local.demo", "demo"),
        ("python -m local.run", ""),
    ],
)
def test_role_of_a_command_line(command: str, role: str) -> None:
    assert memory.role_of(command) == role


def test_processes_of_one_role_are_numbered() -> None:
    names: dict[str, float] = {}
    for role in ("web", "monitoring broker", "web", "web", "monitoring broker"):
        names[memory.numbered(role, names)] = 1.0

    assert list(names) == ["web", "monitoring broker", "web 2", "web 3", "monitoring broker 2"]


def growth(sizes: list[float]) -> Figure:
    return memory.figures([{"worker": size} for size in sizes])[-1]


def test_memory_that_fills_up_at_first_is_flat() -> None:
    assert growth([50, 80, 100, 100, 101, 100, 102, 100, 101]).met


def test_memory_that_grows_to_the_end_is_not_flat() -> None:
    figure = growth([100, 110, 120, 130, 140, 150, 160, 170, 180])

    assert figure.value == pytest.approx(170 / 140)
    assert figure.met is False


def test_memory_of_a_process_that_came_late_is_not_told() -> None:
    samples = [{"web": 1.0}, {"web": 1.0, "web 2": 1.0}, {"web": 1.0, "web 2": 1.0}]

    assert {figure.name.split(",")[0] for figure in memory.figures(samples)} == {"memory: web"}


def test_metrics_that_tell_what_the_tables_hold() -> None:
    told = {"avram_events_recorded_total": 3.0, "avram_runs{status=failed}": 0.0, "other": 9.0}

    assert (
        scraped.differences(told, {"avram_events_recorded_total": 3, "avram_runs{status=failed}": 0})
        == []
    )


def test_metrics_that_tell_something_else_or_nothing() -> None:
    should = {"avram_events_recorded_total": 3, "avram_runs{status=failed}": 1}

    assert scraped.differences({"avram_events_recorded_total": 2.0}, should) == [
        "avram_events_recorded_total is 2.0, the tables hold 3",
        "avram_runs{status=failed} is None, the tables hold 1",
    ]


class Topic:
    """Takes the place of boto3's client, and keeps what is published."""

    def __init__(self) -> None:
        self.published: list[Any] = []
        self.enough = threading.Event()

    def publish(self, TopicArn: str, Message: str) -> None:
        self.published.append(json.loads(Message))
        if len(self.published) > 2 * sum(len(script.lines) for script in scripts()):
            self.enough.set()


def test_demo_plays_until_it_is_over_and_counts_what_it_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = Topic()
    monkeypatch.setattr("boto3.client", lambda name, **options: topic)
    playing = demo.Demo("arn", speed=999)
    thread = threading.Thread(target=playing.play)

    thread.start()
    assert topic.enough.wait(60)
    playing.over.set()
    thread.join(60)

    events = [event for event in topic.published if event["version"] == "1.0"]
    assert playing.counts["events"] == len(events)
    assert playing.counts["rejected"] == len(topic.published) - len(events) >= 2
    assert playing.counts["runs"] >= len({event["dag_run_id"] for event in events}) > 6
    assert playing.counts["failures"] == 0
