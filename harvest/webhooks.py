"""Webhooks: where they may go, how they are signed, and sending one. Knows neither table nor task.

Who may set an address chooses what this server connects to. So a request goes to public addresses only,
to the very address that was looked at, and follows no redirect. Signed after Standard Webhooks 1.0.0:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

#: Seconds to connect, between bytes, and from the beginning to the end of it all.
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
ALL_SECONDS = 20.0

#: Of an answer nothing but its status counts. So much is read, for a connection to end in good order.
MAX_ANSWER = 4_096

#: Not public, though this version of Python takes them for it: the last two and the first may lead to
#: any IPv4 address, and the second has a cloud's own services.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in ("::/96", "192.0.0.0/24", "64:ff9b::/96", "64:ff9b:1::/48")
)


class BadAddress(ValueError):
    """A webhook's URL is none that may be called. The text says why, without the URL."""


class NotTaken(Exception):
    """The receiver did not take it, or could not be reached. ``gone``: it wants no more, ever."""

    def __init__(self, detail: str, *, gone: bool = False) -> None:
        super().__init__(detail)
        self.gone = gone


def derive_secret(key: str, subscription_id: int, number: int) -> bytes:
    """Return the secret of a subscription: the same for the same key and number, and stored nowhere."""
    name = f"harvest.webhook:{subscription_id}:{number}"
    return hmac.new(key.encode(), name.encode(), hashlib.sha256).digest()


def show_secret(secret: bytes) -> str:
    """Return a secret as Standard Webhooks writes it, for the receiver's settings."""
    return "whsec_" + base64.b64encode(secret).decode()


def sign(body: bytes, message_id: str, at: datetime, secrets: Sequence[bytes]) -> Mapping[str, str]:
    """Return the headers of a signed message. With several secrets, each is enough to verify it."""
    timestamp = str(int(at.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }


def check_url(url: str, *, guarded: bool) -> SplitResult:
    """Return the parts of a URL that may be called.

    ``guarded``, as everywhere outside of development: by HTTPS only.

    Raises:
        BadAddress: it may not.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises where it is no number
    except ValueError:
        raise BadAddress("it is no URL") from None
    if parts.scheme != "https" and (guarded or parts.scheme != "http"):
        raise BadAddress("it does not begin with https://")
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise BadAddress("it is no URL")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("it has a user name or a password in it")
    return parts


def find_address(parts: SplitResult, *, guarded: bool) -> str:
    """Return an IP address of a URL's host. Guarded, all that it has must be public.

    Raises:
        BadAddress: one of them is private, of this machine, or otherwise not of the internet.
        NotTaken: the name can't be resolved now.
    """
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotTaken("its host can't be found") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise NotTaken("its host can't be found")
    if guarded and not all(map(is_public, addresses)):
        raise BadAddress("its host is not on the public internet")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether an IP address is of the internet: not of this machine, its network or its cloud."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour
        if inside is not None:
            return is_public(str(inside))
        if ip.teredo is not None:
            return False
    known = any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not known


def post(url: str, body: bytes, headers: Mapping[str, str], *, guarded: bool) -> None:
    """Send a body to a URL. It is taken when this returns.

    Neither proxy nor netrc of the environment is used: with a proxy it would be the one that resolves.
    The authorities trusted are those of REQUESTS_CA_BUNDLE, or else the usual.

    Raises:
        BadAddress: the URL may not be called.
        NotTaken: it answered with another status than 2xx, not in time, or not at all.
    """
    parts = check_url(url, guarded=guarded)
    address = find_address(parts, guarded=guarded)
    try:
        status = _request(parts, address, body, headers)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "no TLS"
        raise NotTaken(f"no secure connection: {reason}") from None
    except TimeoutError:
        raise NotTaken("it did not answer in time") from None
    except (OSError, HTTPException) as error:
        raise NotTaken(f"no connection: {type(error).__name__}") from None
    if not 200 <= status < 300:
        moved = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        raise NotTaken(f"it answered with status {status}{moved}", gone=status == 410)


def _request(parts: SplitResult, address: str, body: bytes, headers: Mapping[str, str]) -> int:
    connection = HTTPConnection(str(parts.hostname), _port(parts))
    with closing(connection), _connect(parts, address) as connection.sock:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        own = {"Host": parts.netloc, "Connection": "close"}
        connection.request("POST", target, body, {**headers, **own})
        with connection.getresponse() as response:
            response.read(MAX_ANSWER)
            return response.status


@contextmanager
def _connect(parts: SplitResult, address: str) -> Iterator[socket.socket]:
    """Connect to an address, for so long at most that the other end can't hold a worker for ever.

    Raises:
        TimeoutError: it took too long, though no single step did.
    """
    connection = socket.create_connection((address, _port(parts)), CONNECT_SECONDS)
    if parts.scheme == "https":
        # The name that was asked for is the one that the certificate must have.
        connection = _tls().wrap_socket(
            connection, server_hostname=parts.hostname, do_handshake_on_connect=False
        )
    is_cut = threading.Event()
    watchdog = threading.Timer(ALL_SECONDS, _cut, (connection, is_cut))
    watchdog.daemon = True
    with connection:
        watchdog.start()
        try:
            connection.settimeout(READ_SECONDS)
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            yield connection
        finally:
            watchdog.cancel()
        if is_cut.is_set():
            # What was read till then may look like an answer.
            raise TimeoutError


def _cut(connection: socket.socket, is_cut: threading.Event) -> None:
    """End a connection whose other end sends a byte now and then, for ever."""
    is_cut.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(
        cafile=os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    )


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
