"""Which address a login is counted under: never one that the client made up."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from avram.addresses import client_address

PEER = "127.0.0.1"


def address(forwarded: str | None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(RequestFactory().get("/", headers=headers))


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the first is the client's own invention
        ("2001:db8::7", "2001:db8::7"),
        ("198.51.100.7, ", PEER),
        ("'; drop table", PEER),
        (None, PEER),
    ],
)
def test_behind_a_proxy_its_own_word_counts(
    forwarded: str | None, expected: str, settings: Settings
) -> None:
    settings.BEHIND_TLS_PROXY = True

    assert address(forwarded) == expected


def test_without_a_proxy_nobody_can_claim_another_address(settings: Settings) -> None:
    settings.BEHIND_TLS_PROXY = False

    assert address("198.51.100.7") == PEER
