"""The system checks, and what a worker makes of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from harvest.checks import check_origin
from harvest.consumer import Receiver, RikoltiConsumer
from tests.factories import TOPIC_ARN


@pytest.fixture(autouse=True)
def production(settings: Settings) -> Settings:
    settings.DEBUG = False
    settings.RIKOLTI_VERIFY_SIGNATURES = True
    settings.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN]
    return settings


def ids() -> list[str | None]:
    return [problem.id for problem in check_origin()]


def test_production_has_nothing_to_say() -> None:
    assert ids() == []


def test_verification_that_is_off_is_named(production: Settings) -> None:
    production.RIKOLTI_VERIFY_SIGNATURES = False

    assert ids() == ["harvest.W001"]
    assert "RIKOLTI_VERIFY_SIGNATURES is off" in check_origin()[0].msg
    assert check_origin()[0] in run_checks()


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


def test_topics_that_are_none(production: Settings) -> None:
    production.RIKOLTI_EVENTS_TOPIC_ARNS = [TOPIC_ARN, "RikoltiEvents", f" {TOPIC_ARN}"]

    assert ids() == ["harvest.E001"] * 2
    assert "RIKOLTI_EVENTS_TOPIC_ARNS: 'RikoltiEvents' is no ARN" in check_origin()[0].msg


@pytest.mark.parametrize("topic_arns", [[], ["RikoltiEvents"]], ids=["none", "malformed"])
def test_consumer_does_not_start_where_all_would_be_rejected(
    production: Settings, topic_arns: list[str]
) -> None:
    production.RIKOLTI_EVENTS_TOPIC_ARNS = topic_arns

    with pytest.raises(ImproperlyConfigured, match="RIKOLTI_EVENTS_TOPIC_ARNS"):
        RikoltiConsumer(SimpleNamespace()).start(None)


def test_consumer_starts_with_a_warning_where_all_is_believed(
    production: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    production.RIKOLTI_VERIFY_SIGNATURES = False
    started: list[Receiver] = []
    monkeypatch.setattr(Receiver, "start", lambda receiver: started.append(receiver))

    worker = SimpleNamespace(hostname="one@test", pulses=[])
    RikoltiConsumer(worker).start(worker)

    assert "RIKOLTI_VERIFY_SIGNATURES is off" in caplog.text
    assert len(started) == 1
