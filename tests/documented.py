"""The command lines of README.md, docs/ and deploy/, and which of them no test runs, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avram.environment import ROOT

#: How a command line begins that is not run, nor looked up, and why.
NOT_RUN = {
    "echo '{": "the shell's own; what it writes is test_publish_and_drain's",
    "export ": "the shell's own; what it sets is in docs/settings.md",
    "uv venv": "installs an Airflow of its own, from the internet",
    "aws cloudformation deploy": "needs Amazon; the template is looked at by test_deploy",
    "podman ": "no container can be built here; the file is looked at by test_deploy",
    "useradd ": "makes a user of the machine",
    "python3.11 -m venv ": "make does the same, elsewhere",
    "/opt/avram/.venv/bin/pip ": "installs from the internet; make does the same, elsewhere",
    "while IFS= read ": "the shell's own; what it sets is in docs/settings.md",
    "python manage.py createsuperuser": "asks a person",
    "cp deploy/systemd": "writes to /etc; the units are looked at by test_deploy",
    "systemctl ": "needs systemd",
    "curl ": "of a registry that runs: tests/db/test_api.py asks the same of ours",
    "celery -A celery_app:monitor ": "needs a worker and Valkey: tests/broker/test_monitoring has them",
    "python manage.py doctor": "asks Amazon; tests/broker/test_doctor.py has it",
    "python manage.py dumpdata library_collection": "of the registry, which is not here",
    ".venv/bin/python -m fuzz var/fuzz/": "of a finding, of which there is none",
    "createdb ": "tests/db/test_backup runs it, by other names",
    "pg_dump ": "tests/db/test_backup runs it, by other names",
    "pg_restore ": "tests/db/test_backup runs it, by other names",
}

#: What begins and ends a block, and its language.
_FENCE = re.compile(r"^ *```([\w-]*)$")
#: A command within a sentence.
_INLINE = re.compile(
    r"`((?:[A-Z_]+=\S+ )*"
    r"(?:make|(?:(?:\.venv/bin/)?python )?manage\.py|(?:\.venv/bin/)?python -m) [^`]+)`"
)
#: A command in the comments at the head of a file of deploy/.
_IN_COMMENT = re.compile(r"^#   (\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class CommandLine:
    file: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why it is not run, or None."""
        return next((why for start, why in NOT_RUN.items() if self.text.startswith(start)), None)

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


def pages() -> list[Path]:
    """Return all pages of text that lead people."""
    folders = (ROOT / "docs", ROOT / "deploy")
    return [ROOT / "README.md", *sorted(page for folder in folders for page in folder.rglob("*.md"))]


def command_lines() -> Iterator[CommandLine]:
    """Yield each command line of a block of sh, without its comment, as one line, and those that the
    files of deploy/ name in their comments."""
    for page in pages():
        for language, block in blocks(page):
            if language == "sh":
                yield from (CommandLine(_name(page), line) for line in _lines(block))
    for file in sorted((ROOT / "deploy").iterdir()):
        if file.is_file():
            for line in _IN_COMMENT.findall(file.read_text()):
                yield CommandLine(_name(file), line)


def inline_commands() -> Iterator[CommandLine]:
    """Yield each command of make, manage.py or a module of ours that stands within a sentence."""
    for page in (*pages(), ROOT / "CHANGELOG.md"):
        for command in _INLINE.findall(page.read_text()):
            yield CommandLine(_name(page), " ".join(command.split()))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    language, lines = None, list[str]()
    for line in page.read_text().splitlines():
        fence = _FENCE.match(line)
        if fence and language is None:
            language, lines = fence[1], []
        elif fence and language is not None:
            yield language, "\n".join(lines)
            language = None
        else:
            lines.append(line)
    assert language is None, f"{page}: a block has no end"


def rows(page: str, section: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the table in a section of a page of docs/, without its head."""
    _, _, rest = (ROOT / "docs" / page).read_text().partition(f"\n## {section}\n")
    assert rest, f"docs/{page} has no section {section}"
    body = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    for line in [line for line in body.splitlines() if line.startswith("|")][2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _lines(block: str) -> Iterator[str]:
    # A line goes on after a backslash, or within quotes.
    open_line = ""
    for line in block.splitlines():
        text = re.sub(r"(^| ) *# .*$", "", line).strip()
        open_line = f"{open_line} {text}".strip()
        if open_line.endswith("\\"):
            open_line = open_line[:-1].strip()
        elif open_line and open_line.count("'") % 2 == 0:
            yield open_line
            open_line = ""
