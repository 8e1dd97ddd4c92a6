"""Log entries: one line each, with names and fields, bounded, without secrets. docs/logs.md has all."""

from __future__ import annotations

import ast
import json
import logging
import re
import string
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from avram import logs
from avram.__main__ import command
from avram.environment import ROOT
from avram.redaction import MAX_LOOKED_AT, MAX_TEXT, MAX_TRACEBACK, Redactor
from harvest import limits

SECRET = "s3cr3t-of-the-tests"

LEVELS = {"exception": "error"}
CALLS = ("debug", "info", "warning", "error", "exception", "critical")
#: What structlog itself puts into an entry, so that no field may have its name.
RESERVED = {"event", "level", "logger", "timestamp", "exception", "pid", "process", "worker", "version"}

logger = structlog.stdlib.get_logger("harvest.of_the_tests")


class Entry(NamedTuple):
    level: str
    fields: tuple[str, ...]


# --- The list -------------------------------------------------------------------------------------


def logged() -> Iterator[tuple[str, Entry, str]]:
    """Yield what the code logs: name, level and fields, and where."""
    files = [ROOT / "celery_app.py", *(ROOT / "avram").rglob("*.py"), *(ROOT / "harvest").rglob("*.py")]
    for file in sorted(files):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) != "logger" or node.func.attr not in CALLS:
                continue
            where = f"{file.relative_to(ROOT)}:{node.lineno}"
            (name,) = node.args
            assert isinstance(name, ast.Constant), f"{where}: the name is not static"
            assert isinstance(name.value, str)
            fields = tuple(str(keyword.arg) for keyword in node.keywords)
            yield name.value, Entry(LEVELS.get(node.func.attr, node.func.attr), fields), where


def documented() -> dict[str, Entry]:
    """Return the entries of the table in docs/logs.md."""
    found = {}
    for line in (ROOT / "docs" / "logs.md").read_text().splitlines():
        if re.match(r"\| `[a-z_]+` \| (debug|info|warning|error) \|", line):
            name, level, fields, meaning, remedy = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning, f"{name} is not explained"
            assert remedy, f"{name} does not say what to do"
            assert name not in found, f"{name} is there twice"
            found[name.strip("`")] = Entry(level, tuple(re.findall(r"`(\w+)`", fields)))
    return found


def test_every_entry_is_documented() -> None:
    assert {name: entry for name, entry, _ in logged()} | logs_of_others() == documented()


def logs_of_others() -> dict[str, Entry]:
    """Return what avram.logs makes of Celery's and Django's words, and says itself."""
    ended = ("task", "task_id", "error")
    return {
        "task_succeeded": Entry("info", ("task", "task_id", "result", "seconds")),
        "task_retried": Entry("info", ended),
        "task_ignored": Entry("info", ended),
        "task_rejected": Entry("warning", ended),
        "task_failed": Entry("error", ended),
        "request_failed": Entry("error", ("path", "status")),
        "log_entry_lost": Entry("error", ("logger", "error")),
    }


@pytest.mark.parametrize(("name", "entry", "where"), [pytest.param(*one, id=one[2]) for one in logged()])
def test_entry_has_a_static_name_and_fields_of_its_own(name: str, entry: Entry, where: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert RESERVED.isdisjoint(entry.fields)
    assert all(re.fullmatch(r"[a-z][a-z_]*", field) for field in entry.fields)


@pytest.mark.parametrize("folder", ["avram", "harvest"])
def test_nobody_logs_past_structlog(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        assert "logging.getLogger" not in file.read_text(), file


# --- How it is written ----------------------------------------------------------------------------


def written(record: logging.LogRecord, format_: str = "json") -> str:
    """Return what the settings' own formatter makes of a record."""
    config = logs.logging_config(format_, "info", [SECRET])["formatters"]["entry"]
    formatter: logging.Formatter = config.pop("()")(**config)
    return formatter.format(record)


def entry_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the last record as a reader of JSON gets it."""
    line = written(caplog.records[-1])
    assert "\n" not in line
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_entry_is_one_object(caplog: pytest.LogCaptureFixture) -> None:
    with bound_contextvars(correlation_id="c0", task="harvest.record_event"):
        logger.warning("queue_unreachable", queue="rikolti-events", again_in_seconds=1.5, ids=["a", "b"])

    entry = entry_of(caplog)
    assert entry.pop("pid") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("timestamp"))
    entry.pop("process", None)
    assert entry.pop("version") == settings.VERSION
    assert entry == {
        "level": "warning",
        "logger": "harvest.of_the_tests",
        "event": "queue_unreachable",
        "queue": "rikolti-events",
        "again_in_seconds": 1.5,
        "ids": ["a", "b"],
        "correlation_id": "c0",
        "task": "harvest.record_event",
    }


def test_what_others_call_critical_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("celery.worker").critical("Unrecoverable error: %r", RuntimeError("x"))

    assert entry_of(caplog)["level"] == "error"


def test_all_ids_of_a_batch_are_named(caplog: pytest.LogCaptureFixture) -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(limits.MAX_BATCH_MESSAGES)]

    logger.warning("odd", sqs_message_ids=ids)

    assert entry_of(caplog)["sqs_message_ids"] == ids


def test_traceback_is_one_field(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError("line one\nline two")
    except RuntimeError:
        logger.exception("something_failed")

    entry = entry_of(caplog)
    assert entry["level"] == "error"
    assert entry["exception"].startswith("Traceback")
    assert entry["exception"].endswith("line one\nline two")
    assert "\nTraceback" in written(caplog.records[-1], "console")


def test_words_of_others_are_entries_too(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("kombu.of_the_tests").warning("away: %s", "amqp://me:pass@host//")

    entry = entry_of(caplog)
    assert (entry["event"], entry["level"]) == ("away: amqp://me:[cut]@host//", "warning")
    assert entry["logger"] == "kombu.of_the_tests"


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (
            {"return_value": "'run 1: failed'", "runtime": 0.12345},
            {"event": "task_succeeded", "result": "'run 1: failed'", "seconds": 0.123},
        ),
        ({"exc": "Retry in 1s"}, {"event": "task_retried", "error": "Retry in 1s"}),
        (
            {"exc": "KeyError('a')", "description": "raised unexpected"},
            {"event": "task_failed", "error": "KeyError('a')"},
        ),
    ],
    ids=["success", "retry", "failure"],
)
def test_end_of_a_task_has_fields_and_no_arguments(
    data: dict[str, Any], fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    data = {"id": "1d", "name": "harvest.prune", "args": f"({SECRET},)", "kwargs": SECRET, **data}

    logging.getLogger("celery.app.trace").error("Task %(name)s", data, extra={"data": data})

    entry = entry_of(caplog)
    expected = {"task": "harvest.prune", "task_id": "1d", **fields}
    assert {key: entry.get(key) for key in expected} == expected
    assert SECRET not in str(entry)
    assert "args" not in entry


def test_success_of_a_task_that_tells_itself_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("harvest.record_event", "harvest.prune"):
        data = {"id": "1d", "name": name, "return_value": "1", "runtime": 0.1}
        logging.getLogger("celery.app.trace").info("Task %(name)s", data, extra={"data": data})

    assert caplog.messages == ["Task harvest.prune"]


def test_line_of_the_console_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("odd", value="a\nb\x1b[31mred\x00", other="c d")
    logging.getLogger("somebody").warning("one\r\ntwo\x9b")

    for record in caplog.records:
        assert written(record, "console").isprintable()
    assert "c d" in written(caplog.records[0], "console")


def test_entry_that_can_t_be_written_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.Handler()

    try:
        raise ValueError(SECRET)
    except ValueError:
        handler.handleError(logging.makeLogRecord({"name": "somebody", "msg": SECRET}))

    said = capsys.readouterr().err
    assert json.loads(said) == {
        "level": "error",
        "event": "log_entry_lost",
        "logger": "somebody",
        "error": "ValueError",
    }


# --- What is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"it is {SECRET}!", "it is [cut]!"),
        ("postgresql://avram:p@ss:w0rd@db/avram", "postgresql://avram:[cut]@db/avram"),
        ("redis://:pw@host:1/0 and https://host/path", "redis://:[cut]@host:1/0 and https://host/path"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [cut]"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer [cut]'}"),
        ("sent Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", "sent Bearer [cut]"),
        ("AKIAIOSFODNN7EXAMPLE may not", "[cut] may not"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=[cut]"),
        ("?X-Amz-Signature=0a1b&X-Amz-Date=2026", "?X-Amz-Signature=[cut]&X-Amz-Date=2026"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "[cut]", "user": "me"}'),
        ("https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/services/[cut]"),
        ("null\nDETAIL:  Failing row contains (1, x).\nmore", "null\nDETAIL:  Failing [cut]\nmore"),
        ("a token was refused: no basic authentication", "a token was refused: no basic authentication"),
        ("Set it, or RIKOLTI_VERIFY_SIGNATURES=0.", None),
        ("set csrf_cookie=true, 'token': null", None),
        ("METRICS_TOKEN: not set", None),
        ("unexpected token: EOF at 1", None),
        ("unexpected token: … then", None),
        ("token: eyJhbGci is not ours", "token: [cut] is not ours"),
        ("token=is", "token=[cut]"),
        ("unexpected token: eyJhbGciOiJIUzI1NiJ9", "unexpected token: [cut]"),
        ("unexpected token: s3cr3t", "unexpected token: [cut]"),
        ("harvest_collection manual__2026-11-24T05:21:34+00:00", None),
    ],
)  # fmt: skip
def test_text(text: str, cleaned: str | None) -> None:
    assert Redactor([SECRET, "test"]).text(text) == (cleaned or text)


@given(
    name=st.sampled_from(["password", "DB_PASSWORD", "METRICS_TOKEN", "unexpected token", "api_key"]),
    separator=st.sampled_from(["=", ": ", ":", "='", '": "']),
    secret=st.text(string.ascii_letters + string.digits + "-_.~+/!", min_size=9).filter(
        lambda text: any(character.isalnum() for character in text)
    ),
    after=st.sampled_from(["", " ", ", and", "'", " is not set"]),
)
def test_what_has_the_length_of_a_secret_is_cut(
    name: str, separator: str, secret: str, after: str
) -> None:
    assert secret not in Redactor().text(f"it had {name}{separator}{secret}{after}")


def test_field_with_a_telling_name_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    logger.warning(
        "odd",
        password="x",
        nested={"api_key": "y", "n": 1},
        csrf_token="",
        sqs_token=None,
        token_set=True,
    )

    entry = entry_of(caplog)
    assert entry["password"] == "[cut]"
    assert entry["nested"] == {"api_key": "[cut]", "n": 1}
    assert (entry["csrf_token"], entry["sqs_token"], entry["token_set"]) == ("", None, True)


def test_everything_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no")

    logger.warning(
        "odd",
        long="x" * 10**6,
        many=list(range(10**5)),
        deep=json.loads("[" * 100 + "]" * 100),
        number=float("nan"),
        thing=Odd(),
        exc_info=RuntimeError("y" * 10**6),
    )

    entry = entry_of(caplog)
    assert len(entry["long"]) < MAX_TEXT + 50
    assert "characters" in entry["long"]
    assert len(entry["exception"]) < MAX_TRACEBACK + 50
    assert len(json.dumps(entry)) < 2 * MAX_TRACEBACK
    assert (entry["number"], entry["thing"]) == ("nan", "<RuntimeError>")


@pytest.mark.parametrize(
    ("text", "left_out"),
    [("x" * (MAX_TEXT + 500), 500), ("token=a " + "- " * (MAX_TEXT // 2 - 5), None)],
    ids=["too long", "longer when it is cleaned"],
)
def test_text_that_is_cut_says_how_much_is_missing(text: str, left_out: int | None) -> None:
    [said] = re.findall(r"… (-?\d+) characters …", Redactor().text(text))

    assert int(said) > 0
    assert left_out in (None, int(said))


def test_secret_at_the_edge_of_a_long_text_is_cut() -> None:
    text = "x" * (MAX_TEXT // 2 - 5) + SECRET + "y" * 10 * MAX_TEXT

    assert SECRET[:6] not in Redactor([SECRET]).text(text)


@given(
    repeated=st.integers(1, 400),
    before=st.integers(0, 60),
    secret=st.sampled_from(
        [SECRET, "postgresql://a:p4ssw0rdp4ssw0rd@h/ ", "Bearer a1b2c3d4e5f6a7b8c9 "]
    ),
)
def test_no_half_of_a_secret_is_left_where_a_text_is_cut(
    repeated: int, before: int, secret: str
) -> None:
    text = " " * before + secret * repeated

    cleaned = Redactor([SECRET]).text(text)

    assert not [part for part in (SECRET[:6], SECRET[-6:], "ssw0", "b2c3", "b8c9") if part in cleaned]


@given(
    before=st.integers(0, 2 * MAX_TEXT),
    named=st.sampled_from(
        ["Authorization: Bearer {}", "token={} ", "DETAIL:  Failing row contains ({}", "redis://a:{}@h "]
    ),
    length=st.integers(9, 4 * MAX_TEXT),
    after=st.integers(0, 2 * MAX_TEXT),
)
def test_secret_of_any_length_is_cut_at_both_ends(
    before: int, named: str, length: int, after: int
) -> None:
    text = "- " * (before // 2) + named.format("x" * length) + "\n" + "- " * (after // 2)

    assert "xxx" not in Redactor().text(text)
    assert "xxx" not in Redactor(["x" * length]).text(text)


@pytest.mark.parametrize(
    "text",
    [
        "- " * 30_000 + "token=" + "x" * 60_000,
        "- " * 30_000 + "DETAIL:  Failing row contains (" + "xxx " * 30_000,
        "redis://a:" + "x" * 200_000 + "@h",
        "- " * (MAX_LOOKED_AT // 4 - 5) + "redis://a:xxxxxxxxxxxxxxxx@h " + "- " * 100_000,
        "DETAIL:  " + "y" * 49_980 + "\nxxxxxx" + "- " * 50_000 + "xxxxxx\nDETAIL:  " + "y" * 49_980,
    ],
)  # fmt: skip
def test_secret_that_is_torn_in_a_very_long_text_is_cut(text: str) -> None:
    assert "xxx" not in Redactor(["xxxxxx" + "- " * 50_000 + "xxxxxx"]).text(text)


def test_time_of_a_text_that_says_token_often_grows_with_its_length() -> None:
    def seconds(times: int) -> float:
        text = "token: ab€ " * times
        started = time.perf_counter()
        Redactor().text(text)
        return time.perf_counter() - started

    few, many = (min(seconds(times) for _ in range(5)) for times in (1_000, 8_000))

    assert many < 24 * few  # 64 times, were it the square


# --- Real processes -------------------------------------------------------------------------------


def run(*program: str, **environ: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, *program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"SECRET_KEY": f"{SECRET}-key", "DJANGO_SETTINGS_MODULE": "avram.settings", **environ},
    )  # fmt: skip
    assert result.stdout == ""
    return result.stderr.splitlines()


PROGRAM = (
    "import django, structlog; django.setup(); log = structlog.stdlib.get_logger('harvest.x'); "
    "log.info('quiet_one'); "
    f"log.warning('loud_one', said='postgresql://a:p4ssw0rd@h, {SECRET}-key p4ssw0rd')"
)


@pytest.mark.parametrize(
    ("variables", "lines"),
    [({}, 2), ({"LOG_LEVEL": "warning"}, 1), ({"LOG_LEVEL": "error"}, 0)],
    ids=str,
)
def test_level_and_format_are_chosen_by_the_environment(variables: dict[str, str], lines: int) -> None:
    said = run("-c", PROGRAM, DATABASE_URL="postgresql://a:p4ssw0rd@h/db", **variables)

    assert len(said) == lines
    for line in said:
        assert json.loads(line)["logger"] == "harvest.x"
    assert "p4ssw0rd" not in str(said)
    assert SECRET not in str(said)


def test_debug_has_lines_to_read_without_colours(tmp_path: Path) -> None:
    said = run("-c", PROGRAM, DEBUG="1", DATABASE_URL=f"sqlite:///{tmp_path / 'db'}")

    assert [line for line in said if line.startswith("{")] == []
    assert "quiet_one" in said[0]
    assert "\x1b" not in str(said)


@pytest.mark.parametrize(("written", "is_quiet"), [("json", True), ("console", False)])
def test_banner_of_flower_is_no_line_of_json(
    monkeypatch: pytest.MonkeyPatch, written: str, is_quiet: bool
) -> None:
    monkeypatch.setenv("LOG_FORMAT", written)

    assert ("--quiet" in command("flower")) is is_quiet
