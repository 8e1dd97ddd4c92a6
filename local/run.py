"""`make run`: the whole pipeline in one terminal, on this machine alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

from django.core.exceptions import ImproperlyConfigured
from honcho.compat import ProcessManager
from honcho.environ import parse_procfile
from honcho.manager import Manager

from avram import variables
from avram.environment import ROOT
from local.environment import HOST, PASSWORD, USER, Local
from local.servers import local_aws, monitoring_broker

BANNER = """
  Avram's harvest pipeline is starting. Open

    Registry admin   http://{host}:{web}/admin/            user {user}, password {password}
    Flower           http://{host}:{flower}/                  the same login: workers and tasks, live

  and look at
    Harvest runs       {runs}
    Rejected messages  what could not be understood, with the reason and a replay action
    Task results       what each task did; Periodic tasks: the sweep's schedule
    Metrics            http://{host}:{web}/metrics, and the worker's: http://{metrics}/metrics

  Another terminal can talk to it:   .venv/bin/python manage.py publish_events FILE
  Ctrl-C ends all of it. The database stays in {folder}.
"""
WITH_DEMO = (
    "six of them come and go, and the list changes while you watch.\n"
    "                       Two fall silent, and are stale after two minutes."
)
WITHOUT_DEMO = "none yet, since there is no demo (DEMO=0): publish some events."


def main() -> int:
    try:
        variables.read_all()
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
        return 1
    local = Local.from_environment()
    if taken := local.taken_ports():
        print("\n".join(taken), file=sys.stderr)
        return 1
    local.folder.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # whatever account they are of, it is not this machine's
    os.environ |= local.variables()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    local.write_file()
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, _interrupt)

    with ExitStack() as servers:
        try:
            print("Starting the local AWS and the monitoring broker …", flush=True)
            servers.enter_context(local_aws(local.aws, local.folder / "aws.log"))
            servers.enter_context(monitoring_broker(local.monitor, local.folder / "monitor.log"))
            print("Preparing database and queues …", flush=True)
            subprocess.run([sys.executable, "-m", "local.prepare"], check=True, cwd=ROOT)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"make run could not start: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        _greet(local)
        code = _supervise(local)
    print("All has ended.")
    return code


class _OneByOne(ProcessManager):  # type: ignore[misc]
    """Tells a process to end, not its children besides: a worker waits for those that are at work."""

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _greet(local: Local) -> None:
    print(
        BANNER.format(
            host=HOST,
            web=local.web,
            flower=local.flower,
            user=USER,
            password=PASSWORD,
            runs=WITH_DEMO if local.demo else WITHOUT_DEMO,
            folder=local.folder,
            metrics=local.variables()["METRICS_ADDRESS"],
        ),
        flush=True,
    )


def _supervise(local: Local) -> int:
    """Run the lines of the Procfile, and the demo, until one of them ends or a signal comes."""
    manager = Manager()
    manager._procmgr = _OneByOne()
    commands = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    if local.demo:
        commands["demo"] = "python -m local.demo"
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    for name, command in commands.items():
        # With a shell between, it would be the shell that is told to end.
        manager.add_process(name, f"exec {command}", env={**os.environ, "PATH": path}, cwd=str(ROOT))
    manager.loop()
    # Ctrl-C is how this ends; what it returns then is no failure.
    interrupted = manager.returncode in (130, 143)
    return 0 if interrupted else manager.returncode or 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
