"""Start one of the processes: `python -m avram web`, `worker`, `beat` or `flower`, as in the Procfile.

What the environment says is read first: a wrong value is one sentence, and nothing starts. What follows
the name goes to the process: `python -m avram worker --hostname=two@%h`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from avram import variables
from harvest import checks, metricfiles


def command(process: str) -> list[str]:
    """Return the Python module that is a process, and its options."""
    if process == "web":
        return [
            "gunicorn", "avram.wsgi", "--config", "python:avram.gunicorn_config", "--no-control-socket",
            "--bind", f"{_in_url(variables.WEB_ADDRESS.read())}:{variables.PORT.read()}",
            "--workers", str(variables.WEB_CONCURRENCY.read()),
        ]  # fmt: skip
    if process == "worker":
        return ["avram.celeryprocess", "worker", f"--concurrency={variables.WORKER_CONCURRENCY.read()}"]
    if process == "beat":
        return ["avram.celeryprocess", "beat"]
    if process == "flower":
        # Its banner is for people, and no line of a log.
        quiet = ["--quiet"] if variables.LOG_FORMAT.read() == "json" else []
        return [
            "celery", *quiet, "-A", "celery_app:monitor", "flower",
            f"--address={variables.FLOWER_ADDRESS.read()}", f"--port={variables.FLOWER_PORT.read()}",
        ]  # fmt: skip
    raise SystemExit("usage: python -m avram web|worker|beat|flower [OPTION …]")


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _prepare_metrics(process: str, folder: Path) -> None:
    """Let what is about to start count together with its children, if anybody may ask for it."""
    os.environ.pop(metricfiles.VARIABLE, None)
    asked = {
        "web": bool(variables.METRICS_TOKEN.text) or variables.DEBUG.read(),
        "worker": bool(variables.METRICS_ADDRESS.text),
    }
    if asked.get(process):
        try:
            os.environ[metricfiles.VARIABLE] = str(metricfiles.make_folder(folder, process))
        except OSError as error:  # no reason not to work
            print(f"There are no metrics of {process}: {error}", file=sys.stderr)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")
    try:
        words = command(sys.argv[1] if len(sys.argv) > 1 else "")
        from avram import settings  # reading them is what may fail

        if sys.argv[1] == "worker":
            checks.check_worker()  # here it is one sentence; Celery would wrap it
        if words[0] == "gunicorn" and not settings.ALLOWED_HOSTS:
            raise ImproperlyConfigured(
                "ALLOWED_HOSTS is not set, so that web would answer no page: name the hosts that it is "
                "asked by, such as registry.example.org."
            )
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
    _prepare_metrics(sys.argv[1], Path(settings.RUNTIME_DIR))
    os.execv(sys.executable, [sys.executable, "-m", *words, *sys.argv[2:]])  # noqa: S606


if __name__ == "__main__":
    main()
