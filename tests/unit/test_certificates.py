"""Fetching and keeping certificates, from a server behind a proxy that every name leads to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from harvest import certificates
from harvest.certificates import Certificates, CertificateUnavailable
from harvest.errors import Malformed, MalformedMessage
from tests.signatures import CERTIFICATE_PATH, CERTIFICATE_URL, SNS_HOST, certificate, sns_key
from tests.sns_server import Answer, SnsServer, say_nothing, serve, serve_endlessly


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> Certificates:
    return Certificates(clock)


def url(number: int) -> str:
    return f"https://{SNS_HOST}/SimpleNotificationService-{number:032x}.pem"


def refusal(kept: Certificates, url: str = CERTIFICATE_URL) -> str:
    with pytest.raises(MalformedMessage) as caught:
        kept.fetch(url)
    assert caught.value.reason is Malformed.BAD_CERTIFICATE
    return caught.value.detail


# --- Fetching -------------------------------------------------------------------------------------


def test_fetch_from_the_host_of_the_url(sns_server: SnsServer, kept: Certificates) -> None:
    fetched = kept.fetch(CERTIFICATE_URL)

    assert fetched.key.public_numbers() == sns_key().public_key().public_numbers()
    assert sns_server.requests == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (serve(certificate(), 403), "status 403"),
        (serve(certificate(), 404), "status 404"),
        (serve(certificate(), 410), "status 410"),
        (serve(certificate(), 204), "status 204"),
        (serve(b"", 302, {"Location": f"https://{SNS_HOST}/other.pem"}), "status 302"),
        (serve(b"<html>"), "serves no certificate"),
        (serve(b""), "serves no certificate"),
        (serve(certificate(names=("sns.example.org",))), r"is not SNS's: \['sns.example.org'\]"),
        (serve(certificate() + b"x" * certificates.MAX_BYTES), "over 65536 bytes"),
        (serve_endlessly(b"x" * 1_000_000), "over 65536 bytes"),
    ],
    ids=["403", "404", "410", "204", "redirect", "html", "empty", "name", "large", "endless"],
)
def test_fetch_what_is_no_certificate_of_sns(
    sns_server: SnsServer, kept: Certificates, answer: Answer, why: str
) -> None:
    sns_server.answers = {CERTIFICATE_PATH: answer, "/other.pem": serve(certificate())}

    with pytest.raises(MalformedMessage, match=why) as caught:
        kept.fetch(CERTIFICATE_URL)

    assert caught.value.reason is Malformed.BAD_CERTIFICATE
    assert sns_server.requests == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (serve(certificate(), 500), "status 500"),
        (serve(certificate(), 503), "status 503"),
        (serve(certificate(), 429), "status 429"),
        (serve(certificate(), 408), "status 408"),
        (say_nothing, "ReadTimeout"),
        (serve_endlessly(b"x", 0.02), "Timeout"),
        (serve(b"short", headers={"Content-Length": "1000"}), "ProtocolError"),
    ],
    ids=["500", "503", "429", "408", "silent", "slow", "cut short"],
)
def test_fetch_what_heals(
    sns_server: SnsServer,
    kept: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    why: str,
) -> None:
    monkeypatch.setattr(certificates, "READ_SECONDS", 0.3)
    monkeypatch.setattr(certificates, "BODY_SECONDS", 0.3)
    sns_server.answers = {CERTIFICATE_PATH: answer}

    with pytest.raises(CertificateUnavailable, match=f"can't be fetched: {why}"):
        kept.fetch(CERTIFICATE_URL)


def test_fetch_through_a_proxy_that_reaches_nothing(sns_server: SnsServer, kept: Certificates) -> None:
    sns_server.away = True

    with pytest.raises(CertificateUnavailable, match="ProxyError"):
        kept.fetch(CERTIFICATE_URL)


def test_fetch_failure_tells_no_password_of_the_proxy(
    kept: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:1")

    with pytest.raises(CertificateUnavailable) as caught:
        kept.fetch(CERTIFICATE_URL)

    assert "secret" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "tls", "trusted"),
    [
        ("sns.us-east-1.amazonaws.com", True, True),
        ("*.amazonaws.com", True, True),
        (SNS_HOST, True, False),
        (SNS_HOST, False, True),
    ],
    ids=["another name", "too wide a name", "an authority that nobody trusts", "no TLS"],
)
def test_fetch_from_a_host_that_is_not_the_one(
    kept: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    tls: bool,
    trusted: bool,
) -> None:
    with closing(SnsServer(tmp_path, name, tls=tls)) as server:
        for variable, value in server.variables.items():
            monkeypatch.setenv(variable, value)
        if not trusted:
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")

        with pytest.raises(CertificateUnavailable, match="SSLError"):
            kept.fetch(CERTIFICATE_URL)

        assert server.requests == []


# --- Keeping --------------------------------------------------------------------------------------


def test_find_what_was_fetched(sns_server: SnsServer, kept: Certificates) -> None:
    assert kept.find(CERTIFICATE_URL) is None

    assert kept.fetch(CERTIFICATE_URL) == kept.find(CERTIFICATE_URL)


def test_find_what_has_come_to_its_end(sns_server: SnsServer, kept: Certificates, clock: Clock) -> None:
    kept.fetch(CERTIFICATE_URL)

    clock.now += certificates.KEEP_SECONDS

    assert kept.find(CERTIFICATE_URL) is None
    assert kept.fetch(CERTIFICATE_URL)
    assert kept.find(CERTIFICATE_URL)


def test_find_keeps_what_is_used_when_there_is_no_more_room(
    sns_server: SnsServer, kept: Certificates
) -> None:
    kept.fetch(CERTIFICATE_URL)

    for number in range(certificates.MOST_KEPT + 5):
        refusal(kept, url(number))
        assert kept.find(CERTIFICATE_URL)

    assert kept.find(url(0)) is None
    with pytest.raises(MalformedMessage):
        kept.find(url(certificates.MOST_KEPT + 4))


def test_find_a_url_without_a_certificate_is_refused_for_a_while(
    sns_server: SnsServer, kept: Certificates, clock: Clock
) -> None:
    detail = refusal(kept, url(1))

    with pytest.raises(MalformedMessage) as caught:
        kept.find(url(1))

    assert (caught.value.reason, caught.value.detail) == (Malformed.BAD_CERTIFICATE, detail)
    clock.now += certificates.KEEP_REFUSED_SECONDS
    assert kept.find(url(1)) is None


def test_fetch_leaves_a_host_that_is_away_alone_for_a_while(
    sns_server: SnsServer, kept: Certificates, clock: Clock
) -> None:
    sns_server.answers[CERTIFICATE_PATH] = serve(b"", 503)
    for _ in range(3):
        with pytest.raises(CertificateUnavailable, match=f"{CERTIFICATE_URL} .*: status 503"):
            kept.fetch(CERTIFICATE_URL)
    with pytest.raises(CertificateUnavailable):
        kept.fetch(url(1))
    assert sns_server.requests == [CERTIFICATE_URL]

    clock.now += certificates.AWAY_SECONDS
    sns_server.answers[CERTIFICATE_PATH] = serve(certificate())

    assert kept.fetch(CERTIFICATE_URL)
