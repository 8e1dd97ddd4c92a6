"""What the probes say of the database's rows, and that nothing but the kind of an error is told."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from avram import variables
from harvest import heartbeats, readiness
from harvest.heartbeats import Part, Pulse
from harvest.models import Heartbeat
from harvest.readiness import Finding, Look

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.RUNTIME_DIR = str(tmp_path)
    return tmp_path


def test_heartbeat_is_stored_once_by_the_clock_of_the_database() -> None:
    pulse = Pulse(Part.WORKER, "celery@host")

    heartbeats.store([pulse])
    Heartbeat.objects.update(at=Now() - timedelta(hours=1))
    heartbeats.store([pulse])

    (age,) = (now - at for at, now in Heartbeat.objects.annotate(now=Now()).values_list("at", "now"))
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_heartbeats_of_what_was_killed_long_ago_are_forgotten() -> None:
    Heartbeat.objects.create(part=Part.WORKER, host="old@host", at=Now() - timedelta(days=2))
    Heartbeat.objects.create(part=Part.WORKER, host="new@host", at=Now())

    heartbeats.forget_lost()

    assert Heartbeat.objects.get().host == "new@host"


def test_part_is_well_while_one_of_its_processes_is_alive() -> None:
    Heartbeat.objects.create(part=Part.WORKER, host="dead@host", at=Now() - timedelta(hours=1))
    Heartbeat.objects.create(part=Part.WORKER, host="alive@host", at=Now())
    Heartbeat.objects.create(part=Part.CONSUMER, host="dead@host", at=Now() - timedelta(hours=1))

    found = readiness.find_heartbeats()

    assert found["worker"].state == "ok"
    assert found["worker"].counts == {"alive": 1, "silent": 1}
    assert found["consumer"].state == "failed"
    assert found["beat"] == Finding("failed", "none has said that it is alive", None)


def test_look_that_fails_tells_no_more_than_the_kind_of_error() -> None:
    def find() -> dict[str, Finding]:
        raise RuntimeError("could not reach db.example.org as user avram with password s3cr3t")

    look = Look(["database"], find)
    look.start()
    look.wait()

    assert look.report() == {"database": {"state": "failed", "age": None, "why": "RuntimeError"}}


def test_probe_needs_neither_host_nor_https(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["registry.example.org"]
    settings.SECURE_SSL_REDIRECT = True

    answer = client.get("/healthz", headers={"host": "10.0.0.1"})

    assert (answer.status_code, json.loads(answer.content)) == (
        200,
        {"up": True, "version": settings.VERSION},
    )
    assert client.post("/healthz").status_code == 405


def test_alive_tells_a_stuck_consumer_from_its_worker(folder: Path) -> None:
    with pytest.raises(CommandError, match="no worker runs here"):
        call_command("alive", "worker")
    worker, consumer = Pulse(Part.WORKER, "a/b@host"), Pulse(Part.CONSUMER, "a/b@host")
    call_command("alive", "worker", name="a/b@host")

    long_ago = consumer.file.stat().st_mtime - 1_000
    os.utime(consumer.file, (long_ago, long_ago))

    with pytest.raises(CommandError, match="the consumer of a/b@host has been silent"):
        call_command("alive", "worker")
    consumer.end()
    call_command("alive", "worker")
    worker.end()
    assert list(folder.iterdir()) == []


def test_alive_leaves_out_what_a_process_that_is_gone_has_left(folder: Path) -> None:
    pulse = Pulse(Part.BEAT, "host")
    pulse.file.write_text("4194305")  # more than any pid

    with pytest.raises(CommandError, match="no beat runs here"):
        call_command("alive", "beat")


def test_alive_says_that_it_may_not_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user; where nothing was left it says which folder it looked into."""
    with pytest.raises(CommandError, match=f"in RUNTIME_DIR, {folder}"):
        call_command("alive", "worker")
    pulse = Pulse(Part.WORKER, "celery@host")

    def refuse(file: Path, *args: object) -> str:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(CommandError, match=f"{pulse.file} may not be read: ask as the processes' user"):
        call_command("alive", "worker")


@pytest.mark.parametrize("silence", [25, 45, 120, 3600])
def test_rows_are_written_in_time_for_a_consumer_that_polls(settings: Settings, silence: int) -> None:
    settings.HEARTBEAT_STALE_AFTER = timedelta(seconds=silence)

    between = heartbeats.seconds_between()

    assert 1 <= between <= 30
    assert 20 + between < silence


def test_what_falls_silent_is_missed_within_a_minute_by_default() -> None:
    silence = variables.HEARTBEAT_STALE_AFTER.parse(variables.HEARTBEAT_STALE_AFTER.default)

    assert silence.total_seconds() + readiness.KEEP_SECONDS + readiness.PATIENCE_SECONDS < 60
