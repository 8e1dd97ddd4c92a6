"""Airflow 2 and 3, asked by HTTP.

No connection is kept, so that nothing is shared by a process and its forks. Nothing but the configured
URL is ever asked: redirects are not followed, and no .netrc is read. Proxy and trusted authorities are
those of the environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from harvest.airflow_api.answers import Answer
from harvest.airflow_api.errors import Refused, Unavailable
from harvest.airflow_api.hosts import Host, Kind
from harvest.errors import MalformedMessage
from harvest.strictjson import read_json

#: Seconds to connect, between bytes, and from the first byte of the body to the last.
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
BODY_SECONDS = 15.0
#: A page of a hundred runs has about 100 KB.
MAX_BYTES = 4 * 1024 * 1024
#: Airflow's tokens have some hundred characters.
MAX_TOKEN = 8 * 1024
#: A host that wants to be left alone for longer is asked again nevertheless.
LONGEST_RETRY_AFTER = timedelta(days=1)

_PATHS = {Kind.AIRFLOW2: "/api/v1", Kind.AIRFLOW3: "/api/v2"}

#: What requests calls with each request that it is about to send.
_Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class HttpApi:
    """The REST API of one host. Of Airflow 3 it keeps the token, until that is no longer taken."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._token = ""

    def ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None
    ) -> Answer:
        """Ask for a path below the API's own, such as ``/dags/…``. Return the answer, whatever it says.

        Raises:
            Unavailable: there is none, or it is none of Airflow's.
            Refused: the password can't be read, or gives no token.
        """
        url = f"{self._host.url}{_PATHS[self._host.kind]}{path}"
        if self._host.kind == Kind.AIRFLOW2:
            return _send(method, url, query, body, self._basic())
        fresh = not self._token
        answer = _send(method, url, query, body, self._bearer())
        if answer.status == HTTPStatus.UNAUTHORIZED and not fresh:
            self._token = ""
            answer = _send(method, url, query, body, self._bearer())
        return answer

    def _basic(self) -> _Auth:
        # As bytes: requests would take text for Latin-1.
        return HTTPBasicAuth(self._host.username.encode(), self._host.password.read().encode())

    def _bearer(self) -> _Auth:
        token = self._token = self._token or self._log_in()

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        return authorize

    def _log_in(self) -> str:
        credentials = {"username": self._host.username, "password": self._host.password.read()}
        answer = _send("POST", f"{self._host.url}/auth/token", {}, credentials, lambda request: request)
        # Nothing that it says is repeated: some versions quote the password.
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Refused(f"gives no token for user and password: status {answer.status}")
        token = answer.data.get("access_token") if isinstance(answer.data, dict) else None
        if not 200 <= answer.status < 300 or not isinstance(token, str) or not _is_header(token):
            raise Unavailable(f"gives no token: status {answer.status}", answer.retry_after)
        return token


def _send(
    method: str,
    url: str,
    query: Mapping[str, str | int],
    body: Mapping[str, Any] | None,
    auth: _Auth,
) -> Answer:
    try:
        with requests.request(
            method,
            url,
            params=query,
            json=body,
            auth=auth,  # with any at all, requests reads no .netrc
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            text = _read(response)
            retry_after = _read_retry_after(response.headers.get("Retry-After", ""))
    except requests.Timeout:
        raise Unavailable("no answer in time") from None
    except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' own are OSErrors
        # Its text may tell of the proxy, and of the password there.
        raise Unavailable(f"can't be asked: {type(error).__name__}") from None
    good = 200 <= response.status_code < 300
    try:
        return Answer(response.status_code, read_json(text.decode()), retry_after)
    except (MalformedMessage, UnicodeDecodeError) as error:
        if good:
            raise Unavailable(f"its answer can't be read: {_reason(error)}") from None
        return Answer(response.status_code, None, retry_after)


def _read(response: requests.Response) -> bytes:
    deadline = time.monotonic() + BODY_SECONDS
    body = bytearray()
    while chunk := response.raw.read1(64 * 1024):
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unavailable(f"its answer is too large: over {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise requests.Timeout
    return bytes(body)


def _read_retry_after(text: str) -> timedelta | None:
    """Read seconds, or a date of HTTP. What is neither says nothing."""
    try:
        if text.isascii() and text.isdigit():
            wait = timedelta(seconds=int(text[:9]))
        else:
            wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def _is_header(token: str) -> bool:
    return 0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable()


def _reason(error: MalformedMessage | UnicodeDecodeError) -> str:
    return error.detail if isinstance(error, MalformedMessage) else "it is no UTF-8"
