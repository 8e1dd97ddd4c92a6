"""Every command line of the docs is there to be run, or says why it is not run here."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec

import pytest
from django.core.management import get_commands, load_command_class

from avram.environment import ROOT
from tests.documented import NOT_RUN, CommandLine, command_lines

LINES = list(command_lines())
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("line", LINES, ids=str)
def test_command_line_exists_or_says_why_not(line: CommandLine) -> None:
    if line.reason:
        return
    words = shlex.split(line.text)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        assert targets
        assert set(targets) <= TARGETS
    elif "manage.py" in words[0:2]:
        check_manage(words[words.index("manage.py") + 1 :])
    else:
        assert words[0].rpartition("/")[2] == "python", "neither run nor in NOT_RUN"
        assert words[1] == "-m"
        assert find_spec(words[2]) is not None


def check_manage(words: list[str]) -> None:
    """Hold a command's options against its own parser."""
    name, *options = words
    app = get_commands()[name]
    assert isinstance(app, str)
    parser = load_command_class(app, name).create_parser("manage.py", name)
    # What may be left out stands in brackets: its name is enough.
    optional = [word.strip("[]") for word in options if word.startswith("[")]
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(optional) <= known
    parser.parse_args([word for word in options if not word.startswith(("[", "…"))])


def test_no_reason_is_left_over() -> None:
    used = {start for start in NOT_RUN for line in LINES if line.text.startswith(start)}

    assert used == set(NOT_RUN)


def test_lines_are_found() -> None:
    texts = [line.text for line in LINES]

    assert "make run" in texts
    assert any(text.startswith("echo '{") and text.endswith("> event.jsonl") for text in texts)
    assert "python manage.py prune --dry-run" in texts
    assert len(texts) > 30
