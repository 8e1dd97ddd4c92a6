"""A stand-in for Sentry: takes reports as its ingest does, and keeps them."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any


class SentryServer:
    """Listens on 127.0.0.1 until it is closed. ``hangs``: it takes a connection, and never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        #: Everything that came in, as text.
        self.received: list[str] = []
        self._ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if hangs:
                    server._ended.wait()
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                server.received.append(body.decode())
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"id": "0"}')

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.dsn = f"http://k3y0f53ntry@127.0.0.1:{self._server.server_port}/1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The reports, each out of its envelope: a header, then an item's header and the item."""
        found = []
        for envelope in list(self.received):
            lines = [json.loads(line) for line in envelope.splitlines() if line]
            found += [item for header, item in pairwise(lines) if is_event(header)]
        return found

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def is_event(header: dict[str, Any]) -> bool:
    return header.get("type") == "event" and "event_id" not in header
