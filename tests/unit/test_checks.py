"""The system checks, and what a worker makes of them."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from harvest.checks import check_settings, check_worker, is_amazon
from harvest.startcheck import StartCheck
from tests.factories import TOPIC_ARN
from tests.logged import entries

QUEUE = "https://sqs.us-west-2.amazonaws.com/123456789012/rikolti-events"


@pytest.fixture(autouse=True)
def production(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings.DEBUG = False
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN]
    return settings


def ids() -> list[str | None]:
    return [problem.id for problem in check_settings()]


def test_production_has_nothing_to_say() -> None:
    assert ids() == []


def test_verification_that_is_off_is_named(production: Settings) -> None:
    production.RIKOLTI_VERIFY_SIGNATURES = False

    assert ids() == ["harvest.W001"]
    assert "RIKOLTI_VERIFY_SIGNATURES is off" in check_settings()[0].msg
    assert check_settings()[0] in run_checks()


def test_verification_that_is_off_in_debug_is_as_it_should_be(production: Settings) -> None:
    production.DEBUG = True
    production.RIKOLTI_VERIFY_SIGNATURES = False
    production.RIKOLTI_EVENTS_TOPIC_ARNS = []

    assert ids() == []


def test_verification_without_a_topic(production: Settings) -> None:
    production.RIKOLTI_EVENTS_TOPIC_ARNS = []

    assert ids() == ["harvest.E002"]


def test_verification_without_a_queue_needs_no_topic(production: Settings) -> None:
    """So that setup_queues can be run, which tells the topic's ARN."""
    production.RIKOLTI_EVENTS_QUEUE_URL = ""
    production.RIKOLTI_EVENTS_TOPIC_ARNS = []

    assert ids() == []


@pytest.mark.parametrize("name", ["RIKOLTI_EVENTS_QUEUE_URL", "AVRAM_TASKS_QUEUE_URL"])
def test_debug_takes_nothing_from_amazon(production: Settings, name: str) -> None:
    production.DEBUG = True
    setattr(production, name, QUEUE)

    assert ids() == ["harvest.E003"]
    assert check_settings()[0].msg.startswith(name)


def test_production_takes_from_amazon(production: Settings) -> None:
    production.RIKOLTI_EVENTS_QUEUE_URL = QUEUE

    assert ids() == []


def test_sqlite_outside_debug_is_for_one_host(
    production: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(production.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")

    assert ids() == ["harvest.W002"]


@pytest.mark.parametrize(
    ("url", "amazon"),
    [
        (QUEUE, True),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", True),
        ("https://sqs.us-west-2.api.aws/123456789012/q", True),
        ("http://127.0.0.1:4566/000000000000/q", False),
        ("https://amazonaws.com.example.org/000000000000/q", False),
        ("", False),
    ],
)
def test_is_amazon(url: str, amazon: bool) -> None:
    assert is_amazon(url) is amazon


@pytest.mark.parametrize(("consumer", "url"), [(True, QUEUE), (False, QUEUE), (False, "")])
def test_worker_does_not_start_where_all_would_be_rejected(
    production: Settings, consumer: bool, url: str
) -> None:
    """One without a consumer would reject what others take."""
    production.RIKOLTI_CONSUMER = consumer
    production.RIKOLTI_EVENTS_QUEUE_URL = url
    production.RIKOLTI_EVENTS_TOPIC_ARNS = []

    with pytest.raises(ImproperlyConfigured, match="RIKOLTI_EVENTS_TOPIC_ARNS"):
        StartCheck(None).start(None)


@pytest.mark.parametrize("consumer", [True, False])
def test_worker_starts_with_a_warning_where_all_is_believed(
    production: Settings, consumer: bool, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    production.RIKOLTI_CONSUMER = consumer
    production.RIKOLTI_VERIFY_SIGNATURES = False
    monkeypatch.setattr("harvest.startcheck.tell_doubtful", lambda: None)

    StartCheck(None).start(None)

    (entry,) = entries(caplog, "setting_doubtful")
    assert entry["check"] == "harvest.W001"
    assert "RIKOLTI_VERIFY_SIGNATURES is off" in entry["problem"]


def test_worker_without_a_queue_starts_only_without_a_consumer(production: Settings) -> None:
    production.RIKOLTI_EVENTS_QUEUE_URL = ""

    production.RIKOLTI_CONSUMER = False
    assert check_worker() == []
    production.RIKOLTI_CONSUMER = True
    with pytest.raises(ImproperlyConfigured, match="RIKOLTI_EVENTS_QUEUE_URL is not set"):
        check_worker()
