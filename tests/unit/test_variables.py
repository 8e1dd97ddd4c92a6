"""The variables of the environment: a wrong value is one sentence, and docs/settings.md has all."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from avram import variables
from avram.environment import ROOT, parse_stale_after
from avram.variables import REGISTRY, Variable

#: What may touch the environment itself: these write it, or read names that AIRFLOW_HOSTS gives. What
#: Flower reads comes before there are settings, and REQUESTS_CA_BUNDLE is requests' own; the watchdog's
#: are systemd's.
READERS = {
    "avram/environment.py",
    "avram/variables.py",
    "harvest/airflow_api/hosts.py",
    "harvest/flower.py",
    "harvest/watchdog.py",
    "harvest/webhooks.py",
}

#: A value of each variable that is a mistake, and what is said of it. What is not here takes any text.
MISTAKES = {
    "DEBUG": ("maybe", "neither on nor off"),
    "DATABASE_URL": (
        "mysql://user:s3cr3t@host/name",
        "begins with neither postgresql:// nor sqlite:///",
    ),
    "RIKOLTI_EVENTS_QUEUE_URL": ("rikolti-events", "not the URL of a queue"),
    "RIKOLTI_EVENTS_TOPIC_ARNS": ("RikoltiEvents", "'RikoltiEvents' is no ARN"),
    "RIKOLTI_VERIFY_SIGNATURES": ("never", "neither on nor off"),
    "AVRAM_TASKS_QUEUE_URL": (
        "https://sqs.us-west-2.amazonaws.com/avram-tasks",
        "not the URL of a queue",
    ),
    "REGISTRY_DATABASE_URL": ("mysql://user:s3cr3t@host/name", "begins with neither"),
    "STALE_AFTER": ("banana", "is no duration"),
    "AIRFLOW_HOSTS": ("[]", "no JSON object|file that can be read"),
    "MONITOR_BROKER_URL": ("amqp://guest:s3cr3t@host", "begins with none of redis://"),
    "AWS_REGION": ("us west", "not a region such as us-west-2"),
    "AWS_DEFAULT_REGION": ("us-west-2 ", "not a region such as us-west-2"),
    "LOG_LEVEL": ("verbose", "none of debug, info, warning, error"),
    "LOG_FORMAT": ("xml", "none of json, console"),
    "SENTRY_DSN": ("https://s3cr3t@sentry.example.org", "no DSN of Sentry"),
    "ALLOWED_HOSTS": ("https://registry.example.org", "which is no host name"),
    "CSRF_TRUSTED_ORIGINS": ("registry.example.org", "which is no origin"),
    "BEHIND_TLS_PROXY": ("2", "neither on nor off"),
    "WEB_ADDRESS": ("everywhere", "not an IP address"),
    "PORT": ("65536", "not a port between 1 and 65535"),
    "WEB_CONCURRENCY": ("-1", "not a whole number"),
    "PUBLIC_URL": ("registry.example.org", "begins with neither https:// nor http://"),
    "EMAIL_URL": ("https://user:s3cr3t@mail.example.org", "begins with none of"),
    "NOTICE_MAIL_DOMAINS": ("ada@example.org", "no host name"),
    "API_RATE": ("many", "write a number and"),
    "FLOWER_URL": ("flower.example.org", "begins with neither https:// nor http://"),
    "WORKER_CONCURRENCY": ("0", "not a whole number"),
    "RIKOLTI_CONSUMER": ("y e s", "neither on nor off"),
    "QUEUE_WARN_DEPTH": ("10k", "not a whole number"),
    "REMOTE_CONTROL": ("sometimes", "neither on nor off"),
    "HEARTBEAT_STALE_AFTER": ("5s", "write 25s to 1h"),
    "METRICS_ADDRESS": ("9808", "not an IP address and a port"),
    "METRICS_TOKEN": ("s3cr3t ", "has a space"),
    "READYZ_PARTS": ("database,disk", "'disk', which is none of"),
    "RETAIN_ENVELOPES": ("forever", "is no duration"),
    "RETAIN_RESULTS": ("7", "is no duration"),
    "RETAIN_READINGS": ("0d", "is no duration"),
    "RETAIN_REPLAYED": ("-1d", "is no duration"),
    "RETAIN_NOTICES": ("a week", "is no duration"),
    "FLOWER_ADDRESS": ("flower", "not an IP address"),
    "FLOWER_PORT": ("http", "not a port"),
    "LOCAL_AWS_PORT": ("0", "not a port"),
    "MONITOR_PORT": ("6380.0", "not a port"),
    "DEMO": ("perhaps", "neither on nor off"),
    "DEMO_SPEED": ("0.0", "not a number above 0"),
    "DEMO_FOR": ("an hour", "is no duration"),
}
ANY_TEXT = {
    "SECRET_KEY", "SECRET_KEY_FALLBACKS",
    "VAR_DIR", "CHROMIUM", "DEFAULT_FROM_EMAIL", "CI", "RUNTIME_DIR", "FLOWER_USER",
    "FLOWER_PASSWORD", "FLOWER_BASIC_AUTH", "SENTRY_ENVIRONMENT", "AVRAM_VERSION",
}  # fmt: skip


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which none of the variables is set."""
    for name in REGISTRY:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def start(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )


# --- What they say --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MISTAKES.keys() - {"AIRFLOW_HOSTS"}))
def test_mistake_is_one_sentence_with_the_name(bare: pytest.MonkeyPatch, name: str) -> None:
    value, said = MISTAKES[name]
    bare.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=f"^{name} .*{said}") as caught:
        variables.read_all()

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "Oregon"),
        ("AWS_REGION", "us-west-2a"),
        ("HEARTBEAT_STALE_AFTER", "24s"),
        ("HEARTBEAT_STALE_AFTER", "2h"),
        ("METRICS_TOKEN", "s3cr3t-ü"),
        ("METRICS_TOKEN", "two words"),
        *((name, url) for name in ("PUBLIC_URL", "FLOWER_URL") for url in (
            "http://x y", "https://", "https:///path", "https://host:port/", "https://u:s3cr3t@host/",
            "https://host/ ",
        )),
    ],
    ids=ascii,
)  # fmt: skip
def test_other_mistakes_stop_the_start_too(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=f"^{name} ") as caught:
        variables.read_all()

    assert "s3cr3t" not in str(caught.value)


def test_every_variable_has_a_mistake_or_takes_any_text() -> None:
    assert MISTAKES.keys() | ANY_TEXT == REGISTRY.keys()
    assert MISTAKES.keys().isdisjoint(ANY_TEXT)


@pytest.mark.parametrize(
    ("process", "name"),
    [
        ("web", "WEB_CONCURRENCY"),
        ("worker", "STALE_AFTER"),
        ("beat", "AIRFLOW_HOSTS"),
        ("flower", "MONITOR_BROKER_URL"),
    ],
)
def test_process_does_not_start_with_a_mistake(process: str, name: str) -> None:
    result = start("-m", "avram", process, SECRET_KEY="k3y", **{name: MISTAKES[name][0]})

    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "RIKOLTI_EVENTS_QUEUE_URL is not set. Set it, or RIKOLTI_CONSUMER=0 for"),
        (
            {"RIKOLTI_EVENTS_QUEUE_URL": "https://sqs.us-west-2.amazonaws.com/123456789012/q"},
            "RIKOLTI_EVENTS_TOPIC_ARNS is not set, so that every message would be rejected.",
        ),
        (
            {"RIKOLTI_CONSUMER": "0"},
            "RIKOLTI_EVENTS_TOPIC_ARNS is not set, so that every message would be rejected.",
        ),
    ],
    ids=["no queue", "no topic", "no consumer and no topic"],
)
def test_worker_that_may_take_no_events_does_not_start(wrong: dict[str, str], said: str) -> None:
    result = start("-m", "avram", "worker", SECRET_KEY="k3y", **wrong)

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(said)


def test_web_does_not_start_without_a_host_that_it_answers_for() -> None:
    result = start("-m", "avram", "web", SECRET_KEY="k3y")

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("ALLOWED_HOSTS is not set")


@pytest.mark.parametrize("name", ["DEBUG", "PORT"])
def test_command_does_not_start_with_a_mistake(name: str) -> None:
    result = start("manage.py", "check", SECRET_KEY="k3y", **{name: MISTAKES[name][0]})

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{name} is {MISTAKES[name][0]!r}")


def test_make_run_does_not_start_with_a_mistake(tmp_path: Path) -> None:
    result = start("-m", "local.run", VAR_DIR=str(tmp_path / "var"), WORKER_CONCURRENCY="0")

    assert result.returncode == 1
    assert result.stderr == "WORKER_CONCURRENCY is '0', not a whole number from 1 to 999999.\n"
    assert not (tmp_path / "var").exists()


def test_unknown_process_is_told_which_there_are() -> None:
    assert "web|worker|beat|flower" in start("-m", "avram", "wbe").stderr


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_blank_is_not_set(bare: pytest.MonkeyPatch, name: str) -> None:
    default = REGISTRY[name].read() if REGISTRY[name].default else None

    bare.setenv(name, " ")

    assert REGISTRY[name].find() is None
    assert not default or REGISTRY[name].read() == default


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        *((text, True) for text in ("1", "ON", "true", " yes ")),
        *((text, False) for text in ("0", "off", "False", " no ")),
    ],
)
def test_switch(bare: pytest.MonkeyPatch, text: str, is_on: bool) -> None:
    bare.setenv("DEBUG", text)

    assert variables.DEBUG.read() is is_on


def test_default_may_be_another_in_debug(bare: pytest.MonkeyPatch) -> None:
    assert variables.ALLOWED_HOSTS.read() == []
    assert variables.RIKOLTI_VERIFY_SIGNATURES.read() is True

    bare.setenv("DEBUG", "1")

    assert variables.ALLOWED_HOSTS.read() == ["127.0.0.1", "localhost"]
    assert variables.RIKOLTI_VERIFY_SIGNATURES.read() is False


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ALLOWED_HOSTS", "a.org, .example.org,[::1],*", ["a.org", ".example.org", "[::1]", "*"]),
        ("CSRF_TRUSTED_ORIGINS", "https://*.example.org:8443", ["https://*.example.org:8443"]),
        ("SECRET_KEY_FALLBACKS", "old,older", ["old", "older"]),
        ("WEB_ADDRESS", "::", "::"),
        ("PORT", "8080", 8080),
        ("FLOWER_URL", "https://flower.example.org/", "https://flower.example.org/"),
        ("FLOWER_URL", "http://[::1]:5555/flower?a=b", "http://[::1]:5555/flower?a=b"),
        ("PUBLIC_URL", "https://registry.example.org:8443", "https://registry.example.org:8443"),
        ("AWS_REGION", "us-gov-west-1", "us-gov-west-1"),
        ("HEARTBEAT_STALE_AFTER", "25s", timedelta(seconds=25)),
        ("STALE_AFTER", "2d,d=1h", parse_stale_after("2d,d=1h")),
    ],
    ids=str,
)  # fmt: skip
def test_value(bare: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    bare.setenv(name, text)

    assert REGISTRY[name].read() == value


# --- The table ------------------------------------------------------------------------------------


def rows() -> dict[str, tuple[str, str]]:
    """Return type and default of each variable in docs/settings.md."""
    found = {}
    for line in (ROOT / "docs" / "settings.md").read_text().splitlines():
        if line.startswith("| `"):
            name, kind, default, words = (cell.strip() for cell in line.strip("|").split("|"))
            assert words, f"{name} is not explained"
            assert name not in found, f"{name} is there twice"
            found[name.strip("`")] = (kind, default)
    return found


def default_of(variable: Variable[object]) -> str:
    if variable.told:
        return variable.told
    default = f"`{variable.default}`" if variable.default else "none"
    return default if variable.in_debug is None else f"{default}; in DEBUG `{variable.in_debug}`"


def test_table_is_what_the_code_reads() -> None:
    assert rows() == {
        name: (variable.kind.word, default_of(variable)) for name, variable in REGISTRY.items()
    }


@pytest.mark.parametrize(
    "file",
    [file for folder in ("avram", "harvest", "local") for file in sorted((ROOT / folder).rglob("*.py"))],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_environment_is_read_in_one_place(file: Path) -> None:
    """Elsewhere it is handed on as a whole, or set; the system's own PATH is no setting."""
    if str(file.relative_to(ROOT)) in READERS:
        return
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute() as called, args=[ast.Constant(value=name), *_]):
                read = ast.unparse(called) in ("os.environ.get", "os.getenv", "environ.get")
                assert not read or name == "PATH", f"{file} reads {name!r}"
            case ast.Subscript(ast.Attribute() as of, ast.Constant(value=name), ast.Load()):
                assert ast.unparse(of) != "os.environ" or name == "PATH", f"{file} reads {name!r}"
