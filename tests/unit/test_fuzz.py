"""A short run of the fuzzer, and that it would find what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from avram.environment import ROOT
from fuzz import properties, signatures
from harvest.batching import group_by_run
from tests import factories


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_short_run(tmp_path: Path) -> None:
    result = run(
        "-m", "fuzz", "--inputs=3000", "--tables=100", "--seed=1",
        TEST_ENGINE="sqlite", VAR_DIR=str(tmp_path),
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    closing = result.stdout.splitlines()[-1]
    assert re.match(
        r"3,000 inputs: \d+ events, [\d,]+ rejected \(.+\), 0 crashes; \d+ branches covered, "
        r"[1-9]\d* inputs signed",
        closing,
    )
    assert not list(tmp_path.iterdir())


def test_words_of_a_run_that_are_longer_than_a_search_are_no_finding(tmp_path: Path) -> None:
    error = {"dag_complete": False, "error": True, "exception": "x" * 300}
    body = tmp_path / "body"
    body.write_text(factories.sns_body(factories.airflow_event(rikolti_message=error)))

    result = run("-m", "fuzz", str(body), TEST_ENGINE="sqlite", VAR_DIR=str(tmp_path))

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == f"{body}: event\n"


@pytest.mark.parametrize(
    ("fault", "kept"), [("raise KeyError('planted')", "crash-*"), ("time.sleep(60)", "timeout-*")]
)
def test_planted_fault_is_found_and_kept(tmp_path: Path, fault: str, kept: str) -> None:
    (tmp_path / "corpus").mkdir()
    body = factories.sns_body(factories.airflow_event())
    (tmp_path / "corpus" / "seed").write_text(body)
    (tmp_path / "words").write_text('"planted"\n')
    program = f"""
import time
from pathlib import Path
from fuzz import clock, parser, properties

def parse(notification, original=properties.parse_event):
    if not isinstance(notification.content.get("rikolti_message"), dict):
        {fault}
    return original(notification)

properties.parse_event = parse
clock.TIMEOUT = 1
parser.main(Path({str(tmp_path)!r}), 5000, 1)
"""

    result = run("-c", program)

    assert result.returncode != 0
    [file] = tmp_path.glob(kept)
    assert file.stat().st_size > 0


@pytest.mark.parametrize("step", ["check", "check_pages"])
def test_input_that_takes_too_long_on_the_database_is_found_and_kept(tmp_path: Path, step: str) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "seed").write_text("not JSON")
    program = f"""
import time
from pathlib import Path
from fuzz import __main__ as fuzzer, clock

def hang(*arguments):
    try:
        time.sleep(60)
    except Exception:  # as a page would answer an error of its own
        return "rejected"

clock.TIMEOUT = clock.PAGES_TIMEOUT = 1
with fuzzer.database():
    from fuzz import tables
    tables.{step} = hang
    tables.ON_A_PAGE = 1
    fuzzer.tables_stage(Path({str(tmp_path / "corpus")!r}), 1, 1)
"""

    result = run("-c", program, TEST_ENGINE="sqlite", VAR_DIR=str(tmp_path))

    assert "TooLong: it took more than 1 s" in result.stderr
    assert "A promise is broken. Look again" in result.stderr
    [file] = (tmp_path / "fuzz").iterdir()
    assert file.stat().st_size > 0


def test_check_holds_an_event_against_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    message = factories.message()
    assert properties.check(message) == properties.EVENT
    parsed = factories.event(rikolti_message="x")
    object.__setattr__(parsed, "rikolti_message", "\0")
    monkeypatch.setattr(properties, "parse_event", lambda notification: parsed)

    with pytest.raises(AssertionError):
        properties.check(message)


def test_check_counts_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "group_by_run", lambda messages: group_by_run(messages)[:-1])

    with pytest.raises((AssertionError, ValueError)):
        properties.check(factories.sqs_message("not JSON"))


def test_check_notices_what_is_believed_unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    message = factories.message()
    assert signatures.check(message)
    monkeypatch.setattr("harvest.signing.check_signature", lambda *arguments: None)

    with pytest.raises(AssertionError):
        signatures.check(message)


def test_check_notices_what_is_believed_though_it_was_altered(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_written(body: Mapping[str, Any]) -> bytes:
        """The rule of Amazon's documentation, and no more."""
        said = (f"{key}\n{body[key]}\n" for key in signatures.SIGNED if body.get(key) is not None)
        return "".join(said).encode()

    message = factories.sqs_message(factories.sns_body(factories.airflow_event(), Subject="a topic's"))
    assert signatures.check(message)
    monkeypatch.setattr("harvest.signing._signed_text", as_written)

    with pytest.raises(AssertionError, match="Subject"):
        signatures.check(message)
