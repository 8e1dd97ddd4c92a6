"""What a worker does not load: Flower, and the pages of the admin, for what shows or checks them."""

from __future__ import annotations

import subprocess
import sys

from avram.environment import ROOT


def said_by(program: str) -> list[str]:
    """Return the words that a process of its own prints."""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_worker_that_has_its_tasks_has_loaded_no_page_and_no_flower() -> None:
    loaded = said_by(
        "import sys\n"
        "from avram.celeryprocess import app; app.loader.init_worker()\n"
        "import harvest.consumer, harvest.exposition, harvest.heartbeats, harvest.startcheck\n"
        "print(*app.tasks, *sys.modules)"
    )

    assert "harvest.record_event" in loaded
    assert "harvest.models" in loaded
    assert {"flower", "tornado", "prompt_toolkit"}.isdisjoint(loaded)
    assert {"avram.urls", "harvest.admin", "harvest.api", "rest_framework.views"}.isdisjoint(loaded)


def test_checks_see_all_pages() -> None:
    models = said_by(
        "import django; django.setup()\n"
        "from django.core.checks import run_checks; run_checks(tags=['admin'])\n"
        "from django.contrib import admin; print(*(model.__name__ for model in admin.site._registry))"
    )

    assert {"HarvestRun", "RejectedMessage", "TaskResult", "PeriodicTask"} <= set(models)
