from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_django import Settings

from avram.environment import (
    ROOT,
    guess_public_url,
    heed_aws_region,
    load_local_parts,
    parse_database_url,
    parse_duration,
    parse_email_url,
    parse_secret_url,
    parse_stale_after,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of the test's own, empty."""
    environ: dict[str, str] = {}
    monkeypatch.setattr("avram.environment.os", SimpleNamespace(environ=environ))
    return environ


def read_settings(name: str = "SECRET_KEY", **environ: str) -> subprocess.CompletedProcess[str]:
    """Let a fresh interpreter read the settings, with nothing else in its environment."""
    return subprocess.run(
        [sys.executable, "-c", f"from avram import settings; print(settings.{name})"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


# --- Durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", 6 * HOUR),
        ("2d", timedelta(days=2)),
        (" 6h ", 6 * HOUR),
    ],
)
def test_parse_duration(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "6",
        "h",
        "6x",
        "6H",
        "0h",
        "-1h",
        "+1h",
        "1.5h",
        "6 hours",
        "²h",
        "٣h",
        "9999999d",
        "6h6m",
    ],
    ids=ascii,
)
def test_parse_duration_of_something_else(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_parse_stale_after_a_default() -> None:
    assert parse_stale_after("6h") == (6 * HOUR, {})


def test_parse_stale_after_with_exceptions() -> None:
    assert parse_stale_after("6h, validate_by_mapper_type=1h ,index_manual_edits=2d") == (
        6 * HOUR,
        {"validate_by_mapper_type": HOUR, "index_manual_edits": 48 * HOUR},
    )


@pytest.mark.parametrize(
    "text",
    ["", "6h,", "6h,validate", "6h,=1h", "6h,validate=", "6h,validate=x", "validate=1h", ",6h"],
)
def test_parse_stale_after_something_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"^has '"):
        parse_stale_after(text)


def test_settings_have_the_stale_after_of_the_environment(settings: Settings) -> None:
    # tests/environment.py sets it.
    assert settings.STALE_AFTER == 6 * HOUR
    assert settings.STALE_AFTER_BY_DAG == {"validate_by_mapper_type": HOUR}


# --- The local parts of `make run` ----------------------------------------------------------------


def write_local_parts(folder: Path, text: str) -> None:
    (folder / "local.env").write_text(text)


def test_load_local_parts_where_nothing_is_set(environ: dict[str, str], tmp_path: Path) -> None:
    write_local_parts(tmp_path, "SECRET_KEY=a=b\nMONITOR_BROKER_URL=redis://127.0.0.1:6400\n")
    environ["VAR_DIR"] = str(tmp_path)

    load_local_parts()

    assert environ["SECRET_KEY"] == "a=b"
    assert environ["MONITOR_BROKER_URL"] == "redis://127.0.0.1:6400"


def test_load_local_parts_leaves_what_is_set(environ: dict[str, str], tmp_path: Path) -> None:
    write_local_parts(tmp_path, "SECRET_KEY=local\nSTALE_AFTER=1h\n")
    environ |= {"VAR_DIR": str(tmp_path), "STALE_AFTER": "2h"}

    load_local_parts()

    assert environ["STALE_AFTER"] == "2h"
    assert environ["SECRET_KEY"] == "local"


def test_load_local_parts_not_where_a_secret_key_is_set(environ: dict[str, str], tmp_path: Path) -> None:
    write_local_parts(tmp_path, "SECRET_KEY=local\nDEBUG=1\n")
    environ |= {"VAR_DIR": str(tmp_path), "SECRET_KEY": "of production"}

    load_local_parts()

    assert environ == {"VAR_DIR": str(tmp_path), "SECRET_KEY": "of production"}


def test_load_local_parts_without_a_file(environ: dict[str, str], tmp_path: Path) -> None:
    environ["VAR_DIR"] = str(tmp_path)

    load_local_parts()

    assert environ == {"VAR_DIR": str(tmp_path)}


def test_manage_alone_takes_the_secret_key_of_the_local_parts(tmp_path: Path) -> None:
    write_local_parts(tmp_path, "SECRET_KEY=local\nDEBUG=1\n")

    def manage(**environ: str) -> str:
        code = "from django.conf import settings; print(settings.SECRET_KEY)"
        return subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=ROOT,
            env={"VAR_DIR": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert manage() == "local\n"
    assert manage(SECRET_KEY="own") == "own\n"
    assert "SECRET_KEY is not set" in read_settings(VAR_DIR=str(tmp_path)).stderr


def test_settings_without_a_secret_key_say_so(tmp_path: Path) -> None:
    result = read_settings(VAR_DIR=str(tmp_path))

    assert result.returncode == 1
    assert "SECRET_KEY is not set" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("environ", "verifies"),
    [
        ({}, "True"),
        ({"DEBUG": "0"}, "True"),
        ({"DEBUG": "1"}, "False"),
        ({"DEBUG": "1", "RIKOLTI_VERIFY_SIGNATURES": "1"}, "True"),
        ({"RIKOLTI_VERIFY_SIGNATURES": "0"}, "False"),
    ],
    ids=str,
)
def test_settings_verify_signatures_unless_told_otherwise(
    environ: dict[str, str], verifies: str
) -> None:
    result = read_settings("RIKOLTI_VERIFY_SIGNATURES", SECRET_KEY="x", **environ)

    assert result.stdout == f"{verifies}\n"


# --- The region -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "default"),
    [
        ({"AWS_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": ""}, None),
        ({}, None),
    ],
    ids=["region", "both", "default", "empty", "none"],
)
def test_heed_aws_region(environ: dict[str, str], given: dict[str, str], default: str | None) -> None:
    environ |= given

    heed_aws_region()

    assert environ.get("AWS_DEFAULT_REGION") == default


# --- URLs with a password -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cr%2Ft@broker:6379/0",
        "sqlite:////var/lib/avram.sqlite3",
        "postgresql:///name?host=/var/run/postgresql",
        "postgresql://user:p%23@db.example.org:5432/name?sslmode=require",
    ],
)
def test_parse_secret_url(url: str) -> None:
    assert parse_secret_url(url) == url


#: Each is what a person may well write, and all that a library says of it tells of the password.
MISTAKEN_URLS = [
    "postgresql://user:s3cr3t/pass@host/name",
    "postgresql://user:s3cr3t?pass@host/name",
    "postgresql://user:s3cr3t#pass@host/name",
    "postgresql://[user:s3cr3t@host/name",
    "postgresql://user:pass@host:s3cr3t/name",
    "s3cr3t",
]


@pytest.mark.parametrize("url", MISTAKEN_URLS)
def test_parse_secret_url_says_nothing_of_a_mistaken_one(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL such as") as caught:
        parse_secret_url(url)

    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url", ["mysql://user:s3cr3t@host/name", "sqlite://user:s3cr3t@host/name", "s3cr3t://host/name"]
)
def test_parse_database_url_of_no_known_database(url: str) -> None:
    with pytest.raises(ValueError, match=r"begins with|file of SQLite") as caught:
        parse_database_url(url)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "MONITOR_BROKER_URL"])
@pytest.mark.parametrize("url", MISTAKEN_URLS)
def test_settings_say_nothing_of_a_mistaken_url(name: str, url: str) -> None:
    result = read_settings(**{"SECRET_KEY": "k3y", "DEBUG": "1", name: url})

    assert result.returncode != 0
    assert name in result.stderr
    assert "s3cr3t" not in result.stderr + result.stdout


# --- Notices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "debug", "url"),
    [
        (["registry.example.org", "other"], False, "https://registry.example.org"),
        (["*", ".example.org"], False, "https://example.org"),
        (["*"], False, ""),
        (["registry.example.org"], True, "http://127.0.0.1:8000"),
    ],
)
def test_public_url_is_guessed_by_the_host(hosts: list[str], debug: bool, url: str) -> None:
    assert guess_public_url(hosts, debug=debug, port=8000) == url


# --- Mail -----------------------------------------------------------------------------------------


def test_email_url_of_a_server() -> None:
    settings = parse_email_url("smtp+tls://avram:p%2Fw@mail.example.org:587")

    assert settings["EMAIL_HOST"] == "mail.example.org"
    assert settings["EMAIL_PORT"] == 587
    assert settings["EMAIL_HOST_PASSWORD"] == "p/w"
    assert settings["EMAIL_USE_TLS"] is True


@pytest.mark.parametrize("url", ["mail.example.org", "https://user:secret@mail.example.org", ""])
def test_email_url_of_something_else(url: str) -> None:
    with pytest.raises(ValueError, match=r"begins with none of smtp|not a URL") as caught:
        parse_email_url(url)

    assert "secret" not in str(caught.value)
