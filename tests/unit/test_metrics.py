"""Counting in several processes that come, go and are killed, and never at the cost of the work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from pytest_django import Settings

from avram.environment import ROOT
from celery_app import app
from harvest import exposition, metricfiles, metrics
from harvest.errors import Malformed
from harvest.models import HarvestTrigger, RejectedMessage, RunChange
from tests.environment import free_port
from tests.factories import TOPIC_ARN
from tests.logged import entries

#: A worker that records what others take.
RECORDS = {"RIKOLTI_CONSUMER": "0", "RIKOLTI_EVENTS_TOPIC_ARNS": TOPIC_ARN}

#: Children that count one each. One of them is killed, and a thread goes on counting at each fork.
FAMILY = """
import os, signal, sys, threading, time
from harvest import metrics

stop = threading.Event()
def count():
    while not stop.is_set():
        metrics.add(metrics.EVENTS_RECORDED)
thread = threading.Thread(target=count)
thread.start()
children = []
for number in range(60):
    pid = os.fork()
    if not pid:
        metrics.add(metrics.EVENTS_DUPLICATE)
        metrics.observe(metrics.EVENT_LAG, [2.0])
        os.kill(os.getpid(), signal.SIGKILL)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
stop.set()
thread.join()
print(*children)
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {"SECRET_KEY": "x", metricfiles.VARIABLE: str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def told(folder: Path, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    with metricfiles.added_up(folder):
        return registry.get_sample_value(name, labels)


# --- Files ----------------------------------------------------------------------------------------


def test_what_killed_children_counted_is_kept_in_one_file(tmp_path: Path) -> None:
    result = run(FAMILY, tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.split()) == 60
    for _again in range(2):
        assert told(tmp_path, "avram_events_duplicate_total") == 60
        assert told(tmp_path, "avram_event_lag_seconds_sum") == 120
        assert (told(tmp_path, "avram_events_recorded_total") or 0) > 0
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_ended.db", "histogram_ended.db"}


def test_all_that_can_be_counted_has_room(tmp_path: Path) -> None:
    """So that no file grows: what it would grow by may not be there on a full disk."""
    tasks = [name for name in app.tasks if name.startswith("harvest.")]
    size = {"counter": 8, "histogram": 8}
    for metric in metrics.REGISTRY.collect():
        samples = {(sample.name, *sample.labels.items()): sample for sample in metric.samples}
        labels = [dict(sample.labels) for sample in samples.values()]
        names = [sample.name for sample in samples.values()]
        if metric.name == "avram_tasks":
            labels = [
                {"task": task, "outcome": outcome} for task in tasks for outcome in metrics.OUTCOMES
            ]
            names = ["avram_tasks_total"] * len(labels)
        for name, of_sample in zip(names, labels, strict=True):
            key = mmap_key(
                metric.name, name, list(of_sample), list(of_sample.values()), metric.documentation
            )
            size[metric.type] += len(key.encode()) + 4 + 8 + 16

    assert max(size.values()) < metricfiles.SIZE / 2


def test_without_room_a_process_works_and_counts_nothing(tmp_path: Path) -> None:
    program = (
        "import os; os.posix_fallocate = lambda *arguments: os.write(-1, b'')\n"
        "import celery_app; from harvest import metrics\n"
        "metrics.add(metrics.EVENTS_RECORDED); print('at work')"
    )

    result = run(program, tmp_path)

    assert (result.returncode, result.stdout) == (0, "at work\n")
    assert "metrics_off" in result.stderr
    assert list(tmp_path.glob("*.db")) == []


def test_child_without_room_works_and_counts_nothing(tmp_path: Path) -> None:
    program = (
        "import os, celery_app; from harvest import metrics\n"
        "os.posix_fallocate = lambda *arguments: os.write(-1, b'')\n"
        "pid = os.fork()\n"
        "metrics.add(metrics.EVENTS_RECORDED); metrics.observe(metrics.EVENT_LAG, [1])\n"
        "if pid: print(os.waitpid(pid, 0)[1], pid)\n"
    )

    result = run(program, tmp_path)

    assert result.stdout.startswith("0 "), result.stderr
    assert told(tmp_path, "avram_events_recorded_total") == 1
    assert "metrics_off" in result.stderr


def test_folder_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    program = (
        "import os, shutil, celery_app; from harvest import metrics; shutil.rmtree(metrics.FOLDER)\n"
        "pid = os.fork(); metrics.add(metrics.EVENTS_RECORDED)\n"
        "if pid: print(os.waitpid(pid, 0)[1])"
    )
    (tmp_path / "metrics").mkdir()

    assert run(program, tmp_path / "metrics").stdout == "0\n"


def test_new_folder_is_empty_and_removes_those_of_ended_processes(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    folders = tmp_path / "metrics"
    for name in (f"worker-{ended.pid}", f"web-{os.getppid()}", f"worker-{os.getpid()}", "nonsense-"):
        (folders / name).mkdir(parents=True)
        (folders / name / "counter_1.db").touch()

    folder = metricfiles.make_folder(tmp_path, "worker")

    assert {one.name for one in folders.iterdir()} == {folder.name, f"web-{os.getppid()}"}
    assert {file.stat().st_size for file in folder.iterdir()} == {metricfiles.SIZE}


@pytest.mark.parametrize(
    ("process", "variables", "counts"),
    [
        ("web", {"DEBUG": "1"}, True),
        ("web", {"METRICS_TOKEN": "t0ken"}, True),
        ("web", {}, False),
        ("worker", {"METRICS_ADDRESS": "127.0.0.1:1", **RECORDS}, True),
        ("worker", {"METRICS_TOKEN": "t0ken", **RECORDS}, False),
        ("beat", {"METRICS_TOKEN": "t0ken", "METRICS_ADDRESS": "127.0.0.1:1"}, False),
    ],
)
def test_processes_that_are_asked_count_together(
    tmp_path: Path, process: str, variables: dict[str, str], counts: bool
) -> None:
    program = (
        "import os, sys; sys.argv = ['avram', sys.argv[1]]; import avram.__main__ as main\n"
        "os.execv = lambda *words: print(os.environ.get('PROMETHEUS_MULTIPROC_DIR', 'none'))\n"
        "main.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, process], cwd=ROOT, capture_output=True, text=True, check=True,
        env={
            "SECRET_KEY": "x", "RUNTIME_DIR": str(tmp_path), "ALLOWED_HOSTS": "example.org",
            metricfiles.VARIABLE: "/of/somebody/else", **variables,
        },
    )  # fmt: skip

    folder = result.stdout.strip()
    assert folder.startswith(str(tmp_path / "metrics" / process)) if counts else folder == "none"


def test_process_starts_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    program = (
        "import os, sys; sys.argv = ['avram', 'worker']; import avram.__main__ as main\n"
        "os.execv = lambda *words: print('started'); main.main()"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={
            "SECRET_KEY": "x", "RUNTIME_DIR": str(tmp_path / "run"), "METRICS_ADDRESS": "127.0.0.1:1",
            **RECORDS,
        },
    )  # fmt: skip

    assert result.stdout == "started\n"
    assert result.stderr.startswith("There are no metrics of worker: ")


# --- Labels ---------------------------------------------------------------------------------------


def test_labels_are_those_that_the_rest_of_the_code_has() -> None:
    def values(name: str, label: str) -> set[str]:
        (metric,) = (one for one in metrics.REGISTRY.collect() if one.name == name)
        return {sample.labels[label] for sample in metric.samples}

    assert values("avram_messages_rejected", "reason") == set(RejectedMessage.Reason.values)
    assert {reason.value for reason in Malformed} < set(RejectedMessage.Reason.values)
    assert values("avram_run_changes", "kind") == set(RunChange.Kind.values)
    assert values("avram_triggers", "state") <= set(HarvestTrigger.State.values)


def test_what_has_no_such_label_is_not_counted_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics.add(metrics.NOTICES, of="nobody")

    assert "metric_not_counted" in caplog.text


def test_worker_that_starts_tells_of_each_task_before_it_fails_for_the_first_time(
    tmp_path: Path,
) -> None:
    """Else the first failure is no growth, and no alert."""
    program = (
        "import os, celery_app; from celery.signals import celeryd_after_setup as begin\n"
        "from types import SimpleNamespace\n"
        "celery_app.app.loader.import_default_modules()\n"
        "begin.send(sender='one@test', instance=SimpleNamespace(app=celery_app.app))\n"
        "print(*(name for name in celery_app.app.tasks if name.startswith('harvest.')))"
    )

    result = run(program, tmp_path)

    names = result.stdout.split()
    assert "harvest.record_event" in names, result.stderr
    for name in names:
        for outcome in metrics.OUTCOMES:
            assert told(tmp_path, "avram_tasks_total", task=name, outcome=outcome) == 0


# --- The worker's server --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(metrics, "FOLDER", tmp_path)
    return tmp_path


@contextmanager
def serving(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """The worker's server, at the address that is yielded."""
    port = port or free_port()
    settings.METRICS_ADDRESS = (host, port)
    server = exposition.Server(SimpleNamespace(steps=[]))
    server.start(None)
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.stop(None)


def get(url: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers.get("WWW-Authenticate", "")


def test_worker_tells_who_has_the_token(folder: Path, settings: Settings) -> None:
    run("import celery_app; from harvest import metrics; metrics.add(metrics.SWEEPS, 3)", folder)
    settings.METRICS_TOKEN = "t0ken ü"

    with serving(settings) as url:
        assert get(f"{url}/metrics") == (401, "Bearer")
        assert get(f"{url}/metrics", "t0ken") == (401, "Bearer")
        assert get(f"{url}/", "t0ken") == (404, "")
    settings.METRICS_TOKEN = "t0ken"
    with serving(settings) as url:
        status, text = get(f"{url}/metrics", "t0ken")
        assert (status, "avram_sweeps_total 3.0" in text) == (200, True)
        assert "avram_runs" not in text


def test_worker_in_debug_tells_everyone_of_this_machine(folder: Path, settings: Settings) -> None:
    settings.DEBUG = True

    with serving(settings) as url:
        assert get(f"{url}/metrics")[0] == 200
        with pytest.raises(HTTPError, match="405"):
            urlopen(Request(f"{url}/metrics", data=b""), timeout=10)


def test_worker_on_a_taken_port_says_so_and_goes_on(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEBUG = True

    with serving(settings) as url:
        port = int(url.rpartition(":")[2])
        with serving(settings, port=port):
            assert get(f"{url}/metrics")[0] == 200

    (entry,) = entries(caplog, "metrics_not_served")
    assert entry["port"] == port
    assert entry["error"].startswith("METRICS_ADDRESS can't be listened on: ")


def test_worker_that_counts_for_nobody_says_so(
    settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings):
        assert "METRICS_TOKEN is not set" in caplog.text
    monkeypatch.setattr(metrics, "FOLDER", None)
    with serving(settings):
        assert "start the worker by python -m avram worker" in caplog.text


def test_worker_whose_files_are_gone_says_so(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEBUG = True

    with serving(settings) as url:
        folder.rmdir()
        assert get(f"{url}/metrics")[0] == 500

    assert "metrics_not_told" in caplog.text
