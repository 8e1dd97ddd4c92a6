"""The rules of harvest/__init__.py: which modules are pure, and imports that point upward only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harvest
from avram.environment import ROOT

PURE = (
    "limits",
    "errors",
    "strictjson",
    "sns",
    "airflow",
    "airflowpages",
    "status",
    "attempts",
    "published",
    "batching",
    "whereabouts",
    "news",
    "wording",
    "taskids",
)

#: As pure in what they know, with a library or two.
WITHOUT_DJANGO = (
    "signing",
    "certificates",
    "metricfiles",
    "metrics",
    "webhooks",
)

#: From top to bottom: a module imports only from those above it. A package stands for its modules.
ORDER = (
    *PURE,
    *WITHOUT_DJANGO,
    "airflow_api.errors",
    "airflow_api.answers",
    "airflow_api.hosts",
    "airflow_api.http",
    "airflow_api.mwaa",
    "airflow_api.client",
    "airflow_api",
    "models.registry",
    "models.runs",
    "models.changes",
    "models.events",
    "models.rejected",
    "models.queues",
    "models.heartbeats",
    "models.notices",
    "models",
    "recording.origin",
    "recording.ranking",
    "recording.versions",
    "recording.changes",
    "recording.counting",
    "recording.runs",
    "recording.answers",
    "recording.identity",
    "recording.rejected",
    "recording.events",
    "recording.several",
    "recording.forgetting",
    "recording.filling",
    "recording.listed",
    "recording.replaying",
    "recording",
    "triggering",
    "reconcile",
    "backfill",
    "deleter",
    "rawqueue",
    "queues",
    "readings",
    "retention",
    "redrive",
    "telling",
    "delivery",
    "tasks",
    "results",
    "watchdog",
    "heartbeats",
    "schedule",
    "checks",
    "consumer",
    "transport",
    "warmshutdown",
    "monitoring",
    "remotecommands",
    "remotecontrol",
    "readiness",
    "gauges",
    "exposition",
    "probes",
    "flower",
    "renewal",
    "searching",
    "provision",
    "permissions",
    "doctor.findings",
    "doctor.queues",
    "doctor.topic",
    "doctor.world",
    "doctor.life",
    "doctor",
    "startcheck",
    "oldregistry.names",
    "oldregistry.sources",
    "oldregistry.rows",
    "oldregistry.importing",
    "oldregistry",
    "admin",
    "api.description",
    "api.rules",
    "api.errors",
    "api.paging",
    "api.filters",
    "api.answers",
    "api.views",
    "api.urls",
    "api",
    "management",
    "apps",
)

#: What Django itself asks for, which imports nothing of ours.
OUTSIDE = ("migrations",)


def modules_loaded_by(module: str) -> set[str]:
    """Return the names of the top-level modules that an import loads in a fresh interpreter."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"import harvest.{module}\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={}, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def sources() -> Iterator[tuple[str, Path]]:
    """Yield each module of the app by its name below ``harvest``."""
    app = Path(harvest.__file__).parent
    for file in sorted(app.rglob("*.py")):
        name = ".".join(file.relative_to(app).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if name:
            yield name, file


def imports(file: Path) -> set[str]:
    """Return what a module imports of the app, each by its name below ``harvest``."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("harvest.") for name in names if name.startswith("harvest.")}


def place(name: str) -> int | None:
    """Return where in the order a module stands, or what is imported from it."""
    while name:
        if name in ORDER:
            return ORDER.index(name)
        name = name.rpartition(".")[0]
    return None


@pytest.mark.parametrize("module", PURE)
def test_pure_module_loads_the_standard_library_alone(module: str) -> None:
    loaded = modules_loaded_by(module)

    assert loaded.isdisjoint({"django", "celery", "kombu", "boto3", "botocore"})
    assert loaded <= sys.stdlib_module_names | {"harvest"}


@pytest.mark.parametrize("module", WITHOUT_DJANGO)
def test_signatures_need_no_framework(module: str) -> None:
    assert modules_loaded_by(module).isdisjoint({"django", "celery", "kombu", "boto3", "botocore"})


def test_asking_airflow_needs_no_framework() -> None:
    assert modules_loaded_by("airflow_api").isdisjoint({"django", "celery", "kombu"})


def test_signing_never_reaches_for_the_network() -> None:
    assert modules_loaded_by("signing").isdisjoint({"requests", "urllib3", "http", "ssl"})


@pytest.mark.parametrize(("name", "file"), [pytest.param(*source, id=source[0]) for source in sources()])
def test_imports_point_upward_only(name: str, file: Path) -> None:
    if name.partition(".")[0] in OUTSIDE:
        assert imports(file) == set()
        return
    own = place(name)

    assert own is not None, f"harvest.{name} has no place in the order"
    for imported in imports(file):
        other = place(imported)
        assert other is not None, f"harvest.{imported} has no place in the order"
        within = ORDER[own] in ("admin", "management")
        assert other < own or (within and other == own), f"harvest.{name} imports harvest.{imported}"


def test_order_is_the_one_that_the_app_tells() -> None:
    told = [line.split()[0].rstrip("/") for line in (harvest.__doc__ or "").splitlines() if "  " in line]

    assert told == [name for name in ORDER if "." not in name and name in told]
    assert set(told) == {name for name in ORDER if "." not in name}
