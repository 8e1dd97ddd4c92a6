"""Every command line of the docs is there to be run, or says why it is not run here."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from avram.environment import ROOT
from tests.documented import (
    NOT_RUN,
    CommandLine,
    blocks,
    command_lines,
    inline_commands,
    pages,
)

LINES = list(command_lines())
#: How a line begins that a shell is given.
COMMAND = re.compile(
    r"^ *(?:\$ |(?:\S*/)?(?:python|pip|make|aws|celery|cp|curl|docker|export|podman|sudo|systemctl) )",
    re.MULTILINE,
)
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("line", LINES, ids=str)
def test_command_line_exists_or_says_why_not(line: CommandLine) -> None:
    if not line.reason:
        check(shlex.split(line.text))


@pytest.mark.parametrize("command", sorted(set(inline_commands()), key=str), ids=str)
def test_command_within_a_sentence_exists(command: CommandLine) -> None:
    check(shlex.split(command.text), whole=False)


def check(words: list[str], *, whole: bool = True) -> None:
    """Look a command up. One that is not whole lacks what it is given, or names it by a word."""
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        assert targets
        assert set(targets) <= TARGETS
    elif "manage.py" in words[0:2]:
        check_manage(words[words.index("manage.py") + 1 :], whole=whole)
    else:
        assert words[0].rpartition("/")[2] == "python", "neither run nor in NOT_RUN"
        assert words[1] == "-m"
        assert find_spec(words[2]) is not None


def check_manage(words: list[str], *, whole: bool) -> None:
    """Hold a command's options against its own parser."""
    name, *options = words
    app = get_commands()[name]
    assert isinstance(app, str)
    parser = load_command_class(app, name).create_parser("manage.py", name)
    if not whole:
        named = {word for word in options if word.startswith("--")}
        assert named <= {option for action in parser._actions for option in action.option_strings}
        return
    # What may be left out stands in brackets: its name is enough.
    optional = [word.strip("[]") for word in options if word.startswith("[")]
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(optional) <= known
    parser.parse_args([word for word in options if not word.startswith(("[", "…"))])


def test_no_reason_is_left_over() -> None:
    used = {start for start in NOT_RUN for line in LINES if line.text.startswith(start)}

    assert used == set(NOT_RUN)


every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_block_of_commands_is_one_of_sh(page: Path) -> None:
    """So that none is overlooked."""
    for language, block in blocks(page):
        assert language not in ("bash", "console", "shell", "shell-session", "zsh")
        if language != "sh":
            assert not COMMAND.search(block), block


# --- Links


def anchors(page: Path) -> set[str]:
    """Return what a link may name after the page, as GitHub makes it of the page's headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return where the links of a page lead within the project: files, and anchors in them."""
    found = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text())
    return [((page.parent / file).resolve() if file else page, anchor) for file, anchor in found]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), file
        assert not anchor or anchor in anchors(file), f"{file}#{anchor}"


def test_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {file for file, _ in links(index)}

    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked
    assert index in {file for file, _ in links(ROOT / "README.md")}


def test_lines_are_found() -> None:
    texts = [line.text for line in LINES]

    assert "make run" in texts
    assert any(text.startswith("echo '{") and text.endswith("> event.jsonl") for text in texts)
    assert "python manage.py prune --dry-run" in texts
    assert any(text.startswith("podman compose") for text in texts)
    assert len(texts) > 30
