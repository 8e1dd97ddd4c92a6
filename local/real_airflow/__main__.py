"""Runs the scenario against each Airflow whose executable is named, and says what was seen."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests import environment  # sets the environment that Django reads next

FOLDER = Path(tempfile.mkdtemp(prefix="avram-airflow-"))


def main(executables: list[str]) -> int:
    """Return 0, or 1 where something was not as it should be."""
    if not executables:
        print("Name the executable of an Airflow: make real-airflow AIRFLOW2=… AIRFLOW3=…")
        return 2
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "avram.settings",
        "STALE_AFTER": "1s",
        "AIRFLOW_HOSTS": "",
    }
    import django

    django.setup()
    from local.real_airflow.scenario import play
    from local.real_airflow.servers import real_airflow

    good = True
    for number, executable in enumerate(executables, 1):
        folder = FOLDER / str(number)
        folder.mkdir()
        print(f"{executable}: starting, in {folder} …", flush=True)
        with real_airflow(Path(executable).absolute(), folder) as airflow:
            print(f"Airflow {airflow.version} at {airflow.url}", flush=True)
            good = play(airflow) and good
    if good:  # else the logs say why
        shutil.rmtree(FOLDER)
    return int(not good)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        environment.pytest_unconfigure()
