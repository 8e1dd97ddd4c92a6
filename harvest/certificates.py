"""The certificates that SNS signs with: fetched from its own hosts, and kept for a while.

Each process has its own. No connection is kept, so that nothing is shared by a process and its forks,
and nothing is locked: the worst that two threads can do to each other is to fetch the same twice.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import requests
import urllib3

from harvest.errors import Malformed, MalformedMessage
from harvest.signing import Certificate, read_certificate

#: SNS changes its certificate about once a year, under a new URL: a few are in use at once.
MOST_KEPT = 64
#: Seconds until a certificate is asked for again: one that SNS has withdrawn is trusted no longer.
KEEP_SECONDS = 24 * 3600.0
#: The same for a URL that has no certificate, which costs a request each time.
KEEP_REFUSED_SECONDS = 60.0
#: Seconds for which a host that could not be reached is left alone.
AWAY_SECONDS = 5.0

#: Seconds to connect, between bytes, and from the first byte to the last.
CONNECT_SECONDS = 3.0
READ_SECONDS = 3.0
BODY_SECONDS = 5.0
#: SNS's certificates have 2 KB.
MAX_BYTES = 64 * 1024

#: Statuses that heal: of SNS itself (5xx besides), whatever it has been asked for.
_BUSY = (requests.codes.request_timeout, requests.codes.too_many_requests)


class CertificateUnavailable(Exception):
    """A certificate can't be had at the moment, which says nothing of the message."""


class Certificates:
    """Certificates by their URL, the one that was not asked for longest forgotten first.

    ``clock`` gives seconds from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Certificate | MalformedMessage]] = OrderedDict()
        self._away: dict[str, tuple[float, str]] = {}

    def find(self, url: str) -> Certificate | None:
        """Return what is kept of a URL, or None where it must be fetched.

        Raises:
            MalformedMessage: there was no certificate of SNS at this URL a moment ago.
        """
        ends, found = self._kept.get(url, (0.0, None))
        if found is None or ends <= self._clock():
            return None
        with suppress(KeyError):  # another thread let go of it
            self._kept.move_to_end(url)
        if isinstance(found, MalformedMessage):
            raise MalformedMessage(found.reason, found.detail)
        return found

    def fetch(self, url: str) -> Certificate:
        """Return the certificate of a URL of :func:`harvest.signing.certificate_url`, and keep it.

        Raises:
            CertificateUnavailable: the host can't be reached, now or a moment ago, or is busy.
            MalformedMessage: ``BAD_CERTIFICATE``, there is no certificate of SNS at this URL.
        """
        host = urlsplit(url).netloc
        ends, why = self._away.get(host, (0.0, ""))
        if ends > self._clock():
            raise CertificateUnavailable(why)
        try:
            certificate = read_certificate(_download(url), host)
        except CertificateUnavailable as error:
            self._away[host] = (self._clock() + AWAY_SECONDS, str(error))
            raise
        except MalformedMessage as error:
            self._keep(url, error, KEEP_REFUSED_SECONDS)
            raise
        self._keep(url, certificate, KEEP_SECONDS)
        return certificate

    def _keep(self, url: str, found: Certificate | MalformedMessage, seconds: float) -> None:
        self._kept[url] = (self._clock() + seconds, found)
        self._kept.move_to_end(url)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


def _download(url: str) -> bytes:
    """Return what a URL serves. Proxy and trusted authorities are those of the environment."""
    try:
        with requests.get(
            url,
            headers={"Accept-Encoding": "identity"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
            body = _read(response) if status == requests.codes.ok else b""
    except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' own are OSErrors
        # Its text may tell of the proxy, and of the password there.
        raise CertificateUnavailable(f"{url} can't be fetched: {type(error).__name__}") from None
    if status in _BUSY or status >= requests.codes.server_error:
        raise CertificateUnavailable(f"{url} can't be fetched: status {status}")
    if status != requests.codes.ok:
        raise MalformedMessage(Malformed.BAD_CERTIFICATE, f"{url} has no certificate: status {status}")
    return body


def _read(response: requests.Response) -> bytes:
    deadline = time.monotonic() + BODY_SECONDS
    body = b""
    while chunk := response.raw.read1(MAX_BYTES):
        body += chunk
        if len(body) > MAX_BYTES:
            raise MalformedMessage(
                Malformed.BAD_CERTIFICATE, f"{response.url} is no certificate: over {MAX_BYTES} bytes"
            )
        if time.monotonic() > deadline:
            raise requests.Timeout
    return body
