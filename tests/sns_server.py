"""SNS's host as far as it serves certificates: over TLS, behind a proxy through which all names lead
there."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from tests.factories import START
from tests.signatures import CERTIFICATE_PATH, SNS_HOST, YEAR, certificate

#: Writes what a client gets for its request.
Answer = Callable[[BaseHTTPRequestHandler], None]


def serve(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that is complete."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def serve_endlessly(chunk: bytes, pause: float = 0.0) -> Answer:
    """Return an answer that ends when the client has had enough."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while not handler.server.closing.wait(pause):  # type: ignore[attr-defined]
                handler.wfile.write(chunk)

    return answer


def say_nothing(handler: BaseHTTPRequestHandler) -> None:
    """Take the request, and leave the client waiting."""
    handler.server.closing.wait()  # type: ignore[attr-defined]


class SnsServer:
    """Serves what ``answers`` has for a path, 404 for all else, and keeps what it was asked for.

    ``variables`` is the environment in which a process finds it under every https address.
    ``away`` lets the proxy say that it reaches nothing.
    """

    def __init__(self, folder: Path, name: str = SNS_HOST, *, tls: bool = True) -> None:
        # A real queue says when it takes a message: by today's clock.
        pem = certificate(not_after=START + 50 * YEAR)
        self.answers: dict[str, Answer] = {CERTIFICATE_PATH: serve(pem)}
        self.requests: list[str] = []
        self.away = False
        authority = trustme.CA()
        bundle = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(bundle))
        self._server = HttpServer(self._answer)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._proxy = HttpServer(self._connect)
        self.variables = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._proxy.server_port}",
            "https_proxy": f"http://127.0.0.1:{self._proxy.server_port}",
            "NO_PROXY": "",
            "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(bundle),
        }

    def close(self) -> None:
        self._proxy.end()
        self._server.end()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"https://{handler.headers['Host']}{handler.path}")
        self.answers.get(handler.path, serve(b"<Error/>", 404))(handler)

    def _connect(self, handler: BaseHTTPRequestHandler) -> None:
        if self.away:
            handler.send_error(502)
            return
        with socket.create_connection(("127.0.0.1", self._server.server_port)) as upstream:
            handler.send_response(200)
            handler.end_headers()
            _carry(handler.connection, upstream)


class HttpServer(ThreadingHTTPServer):
    """Lets a function answer every request, until it is ended."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            do_CONNECT = do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                """Say nothing: what was asked for is kept."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def handle_error(self, *args: Any) -> None:
        """A client that goes away is what some tests are about."""

    def end(self) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


def _carry(client: socket.socket, upstream: socket.socket) -> None:
    """Pass bytes on, both ways, until one end has no more."""
    other = {client: upstream, upstream: client}
    with suppress(OSError):
        while True:
            for source in select.select(other, (), ())[0]:
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)
