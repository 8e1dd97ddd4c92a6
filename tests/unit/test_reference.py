"""docs/commands.md and docs/tables.md, against what they describe: all of it, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.db.models import Field

from avram.environment import ROOT
from tests.documented import rows

MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = sorted(name for name, app in get_commands().items() if app == "harvest")


# --- Commands -------------------------------------------------------------------------------------


def documented_options() -> dict[str, list[str]]:
    """Return the options of each command of manage.py, as the page has them."""
    found: dict[str, list[str]] = {}
    name = ""
    for command, option, what in rows("commands.md", "manage.py"):
        assert what
        name = command.strip("`") or name
        found.setdefault(name, []).extend([option.strip("`")] if option else [])
    return found


def own_options(name: str) -> list[str]:
    """Return what a command takes that not every command of Django does."""
    parser = load_command_class("harvest", name).create_parser("manage.py", name)
    every = BaseCommand().create_parser("manage.py", name)
    common = {option for action in every._actions for option in action.option_strings}
    return [
        action.option_strings[-1] if action.option_strings else action.dest
        for action in parser._actions
        if not set(action.option_strings) & common or not action.option_strings
    ]


def test_commands_are_documented() -> None:
    assert sorted(documented_options()) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented_with_all_its_options(name: str) -> None:
    assert documented_options()[name] == own_options(name)


def test_targets_of_make_are_documented() -> None:
    documented = {target.strip("`") for target, _, _ in rows("commands.md", "make")}

    assert documented == set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))


def test_variables_of_make_are_documented() -> None:
    named = set(re.findall(r"\$\(([A-Z0-9_]+)\)", MAKEFILE))
    made = set(re.findall(r"^([A-Z0-9_]+) *:?=", MAKEFILE, re.MULTILINE))
    own = {"MAKE", "MAKEFILE_LIST", "TOGETHER"}
    documented = set(re.findall(r"`([A-Z0-9_]+)`", (ROOT / "docs" / "commands.md").read_text()))

    assert named - made - own <= documented


def test_processes_are_documented() -> None:
    documented = [process.strip("`") for process, _, _ in rows("commands.md", "Processes")]

    assert documented == re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE)


# --- Tables ---------------------------------------------------------------------------------------

TABLES = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
OURS = sorted(name for name, model in TABLES.items() if model._meta.app_label == "harvest")

TYPES = {
    "BigAutoField": "number",
    "BooleanField": "boolean",
    "CharField": "text",
    "DateTimeField": "time",
    "IntegerField": "number",
    "JSONField": "JSON",
    "PositiveIntegerField": "number",
    "SlugField": "text",
    "TextField": "text",
}


def kind(field: Field[Any, Any]) -> str:
    if field.related_model is not None and not isinstance(field.related_model, str):
        word = f"→ `{field.related_model._meta.db_table}`"
    else:
        word = TYPES[field.get_internal_type()]
    return f"{word}, null" if field.null else word


@pytest.mark.parametrize("table", OURS)
def test_columns_are_documented(table: str) -> None:
    documented = list(rows("tables.md", table))
    fields = TABLES[table]._meta.concrete_fields

    assert [(name.strip("`"), of) for name, of, _ in documented] == [(f.column, kind(f)) for f in fields]
    for field, (_, _, meaning) in zip(fields, documented, strict=True):
        assert meaning or field.column == "id"
        for value, _ in field.choices or ():
            assert f"`{value}`" in meaning or not value


def test_all_tables_are_documented() -> None:
    text = (ROOT / "docs" / "tables.md").read_text()
    sections = re.findall(r"^## (\w+_\w+)$", text, re.MULTILINE)
    others = [
        name for names, _, _ in rows("tables.md", "Tables of others") for name in names.split(", ")
    ]

    assert sorted([*sections, *(name.strip("`") for name in others)]) == sorted(TABLES)
