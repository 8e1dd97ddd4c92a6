"""Where webhooks may go, how they are signed, and what a receiver can do to us."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from harvest import webhooks
from harvest.webhooks import BadAddress, NotTaken
from tests.webhook_server import WebhookServer, answer_with

SECRET = webhooks.derive_secret("a key", 1, 0)


@pytest.fixture
def receiver() -> Iterator[WebhookServer]:
    with closing(WebhookServer()) as server:
        yield server


@pytest.fixture
def secure_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    """One that has a certificate for localhost."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with closing(WebhookServer(context)) as server:
        yield server


def post(url: str) -> None:
    webhooks.post(url, b"{}", {"Content-Type": "application/json"}, guarded=False)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name stand for these addresses."""

    def getaddrinfo(host: str, port: int, **kwargs: Any) -> list[Any]:
        family = socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("harvest.webhooks.socket.getaddrinfo", getaddrinfo)


# --- Signatures -----------------------------------------------------------------------------------


@given(st.text(max_size=100), st.integers(1, 10**9))
def test_signature_is_that_of_the_specification(text: str, message_id: int) -> None:
    body = text.encode(errors="replace")
    headers = webhooks.sign(body, str(message_id), datetime.now(UTC), [SECRET])

    Webhook(webhooks.show_secret(SECRET)).verify(body, dict(headers), json_parse=False)


def test_signature_of_another_body_is_none() -> None:
    headers = webhooks.sign(b"{}", "1", datetime.now(UTC), [SECRET])

    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.show_secret(SECRET)).verify(b'{"a":1}', dict(headers))


def test_signature_with_two_secrets_is_verified_by_each() -> None:
    other = webhooks.derive_secret("a key", 1, 1)
    headers = webhooks.sign(b"{}", "1", datetime.now(UTC), [SECRET, other])

    for secret in (SECRET, other):
        Webhook(webhooks.show_secret(secret)).verify(b"{}", dict(headers))


def test_secrets_differ_by_key_subscription_and_number() -> None:
    secrets = {
        webhooks.derive_secret(*of) for of in [("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 1)]
    }

    assert len(secrets) == 4


# --- Where they may go ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "https://",
        "https://:443/",
        "https://hooks.example.org:x/",
        "https://[::1/",
        "https://user:password@hooks.example.org/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nX: y",
        "https://hööks.example.org/",
    ],
)
def test_url_that_may_not_be_called(url: str) -> None:
    with pytest.raises(BadAddress):
        webhooks.check_url(url, guarded=True)


def test_url_by_http_is_for_development() -> None:
    assert webhooks.check_url("http://127.0.0.1:8000/", guarded=False).port == 8000


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_address_inside_is_not_public(address: str) -> None:
    assert not webhooks.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_address_of_the_internet_is_public(address: str) -> None:
    assert webhooks.is_public(address)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "localhost", "[::1]"])
def test_request_to_this_machine_by_any_name_is_refused(host: str) -> None:
    with pytest.raises(BadAddress, match="not on the public internet"):
        webhooks.post(f"https://{host}/", b"{}", {}, guarded=True)


def test_host_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")

    with pytest.raises(BadAddress):
        webhooks.post("https://hooks.example.org/", b"{}", {}, guarded=True)


def test_host_is_resolved_once(monkeypatch: pytest.MonkeyPatch, receiver: WebhookServer) -> None:
    """A name that leads elsewhere the second time it is looked up gains nothing by it."""
    looked_up = []

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        looked_up.append(host)
        return real(host, *args, **kwargs)

    real = socket.getaddrinfo
    monkeypatch.setattr("harvest.webhooks.socket.getaddrinfo", getaddrinfo)

    post(receiver.url)

    # The second is the address itself, which is no name.
    assert looked_up[0] == "localhost"
    assert all(host in ("127.0.0.1", "::1") for host in looked_up[1:])


def test_host_that_is_unknown_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any, **kwargs: Any) -> None:
        raise socket.gaierror

    monkeypatch.setattr("harvest.webhooks.socket.getaddrinfo", getaddrinfo)

    with pytest.raises(NotTaken, match="can't be found"):
        post("http://hooks.example.org/")


# --- What a receiver may answer -------------------------------------------------------------------


def test_receiver_that_takes_it(receiver: WebhookServer) -> None:
    post(receiver.url)

    [received] = receiver.received
    assert received.path == "/hook?key=1"
    assert received.headers["host"] == f"localhost:{receiver.port}"
    assert received.body == b"{}"


def test_receiver_is_known_by_its_certificate(secure_receiver: WebhookServer) -> None:
    post(secure_receiver.url)

    assert len(secure_receiver.received) == 1


def test_receiver_with_the_certificate_of_another(secure_receiver: WebhookServer) -> None:
    with pytest.raises(NotTaken, match="no secure connection"):
        post(f"https://127.0.0.1:{secure_receiver.port}/")

    assert secure_receiver.received == []


def test_redirect_is_not_followed(receiver: WebhookServer) -> None:
    receiver.answers = [answer_with(307, Location=f"http://127.0.0.1:{receiver.port}/inside")]

    with pytest.raises(NotTaken, match="307, a redirect, which is not followed"):
        post(receiver.url)

    assert len(receiver.received) == 1


@pytest.mark.parametrize(("status", "gone"), [(400, False), (410, True), (429, False), (500, False)])
def test_status_that_says_no(receiver: WebhookServer, status: int, gone: bool) -> None:
    receiver.answers = [answer_with(status)]

    with pytest.raises(NotTaken, match=str(status)) as caught:
        post(receiver.url)

    assert caught.value.gone is gone


def test_nobody_listens(receiver: WebhookServer) -> None:
    receiver.close()

    with pytest.raises(NotTaken, match="no connection: ConnectionRefusedError") as caught:
        post(receiver.url)

    assert "key" not in str(caught.value)


def test_receiver_that_speaks_something_else(receiver: WebhookServer) -> None:
    def speak(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x16\x03\x01 no HTTP\r\n")

    receiver.answers = [speak]

    with pytest.raises(NotTaken, match="no connection: BadStatusLine"):
        post(receiver.url)


def test_receiver_that_says_nothing(monkeypatch: pytest.MonkeyPatch, receiver: WebhookServer) -> None:
    monkeypatch.setattr(webhooks, "READ_SECONDS", 0.1)
    ended = threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        ended.wait(30)

    receiver.answers = [wait]

    with pytest.raises(NotTaken, match="in time"):
        post(receiver.url)
    ended.set()


def test_receiver_that_trickles_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, receiver: WebhookServer
) -> None:
    """Each byte comes in time, and the first line never ends."""
    monkeypatch.setattr(webhooks, "ALL_SECONDS", 0.3)
    cut = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 O")
            while not cut.wait(0.05):
                handler.wfile.write(b"K")

    receiver.answers = [trickle]

    with pytest.raises(NotTaken, match=r"no connection|in time"):
        post(receiver.url)
    cut.set()


def test_answer_without_end_is_not_read(receiver: WebhookServer) -> None:
    ended = threading.Event()

    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while not ended.is_set():
                handler.wfile.write(b"x" * 65_536)

    receiver.answers = [pour]

    post(receiver.url)
    ended.set()
