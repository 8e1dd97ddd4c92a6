"""A proxy before PostgreSQL that can refuse, or fall silent."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 65536


class DatabaseProxy:
    """Forwards connections to a database, by its URL. ``url`` is the way through it, with less
    patience than in production.

    ``refuse`` ends all connections and takes no new ones, ``fall_silent`` takes them and says
    nothing, ``let_through`` is how it begins.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: list[socket.socket] = []
        self._carriers: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._listen()

    def close(self) -> None:
        self._flowing.set()
        self.refuse()

    @property
    def url(self) -> str:
        user = unquote(self._upstream.username or "postgres")
        password = f":{self._upstream.password}" if self._upstream.password else ""
        address = f"{user}{password}@127.0.0.1:{self._port}{self._upstream.path}"
        return f"postgresql://{address}?connect_timeout=2&options=-c%20lock_timeout%3D2s"

    def refuse(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):  # it has ended
                connection.shutdown(socket.SHUT_RDWR)
        for carrier in self._carriers:
            carrier.join()
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._carriers.clear()

    def fall_silent(self) -> None:
        self._flowing.clear()

    def let_through(self) -> None:
        self._flowing.set()
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the listener is closed
                return
            try:
                server = self._connect()
            except OSError:  # the database itself is away
                client.close()
                continue
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                carrier = threading.Thread(target=self._carry, args=(source, target), daemon=True)
                self._carriers.append(carrier)
                carrier.start()

    def _connect(self) -> socket.socket:
        folder = parse_qs(self._upstream.query).get("host", [""])[0]
        port = self._upstream.port or 5432
        if folder.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(os.path.join(folder, f".s.PGSQL.{port}"))  # noqa: PTH118
            except OSError:
                server.close()
                raise
            return server
        return socket.create_connection((self._upstream.hostname or "127.0.0.1", port))

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # either end is gone
            while data := source.recv(CHUNK):
                self._flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
