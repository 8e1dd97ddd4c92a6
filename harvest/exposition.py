"""Telling Prometheus: what it is told, to whom, and the worker's own small server.

What is counted in a web or a worker is told by that one alone, its processes added up; what is in the
tables is told by web. So nothing is told twice, and sums over all are right.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from hmac import compare_digest
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from celery import bootsteps
from django.conf import settings
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from harvest import metricfiles, metrics

logger = structlog.stdlib.get_logger(__name__)

PATH = "/metrics"


def is_offered() -> bool:
    """Return whether anybody may ask: who has the token, in DEBUG whoever is asked by."""
    return bool(settings.METRICS_TOKEN) or settings.DEBUG


def may_ask(authorization: str) -> bool:
    """Return whether a request with this header of HTTP is answered."""
    if not settings.METRICS_TOKEN:
        return is_offered()
    expected = f"Bearer {settings.METRICS_TOKEN}"
    return compare_digest(authorization.encode(errors="replace"), expected.encode())


def render(accept: str, *more: Collector) -> tuple[bytes, str]:
    """Return what is counted, and what else is to be told, in a format that is accepted; and its type.

    Raises:
        OSError, ValueError: what was counted can't be read: somebody has removed the files.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    for collector in (Build(), *more):
        registry.register(collector)
    if metrics.FOLDER is None:
        registry.register(metrics.REGISTRY)
        return encode(registry), content_type
    MultiProcessCollector(registry, path=str(metrics.FOLDER))
    with metricfiles.added_up(metrics.FOLDER):
        return encode(registry), content_type


class Build(Collector):
    """Tells which version this is, as the label of a 1."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("avram_build_info", "Which version this is.", labels=["version"])
        family.add_metric([settings.VERSION], 1)
        yield family


class Server(bootsteps.StartStopStep):
    """The worker's /metrics, where METRICS_ADDRESS says so."""

    requires = ("celery.worker.components:Pool",)  # whose processes need not inherit it
    name = "MetricsServer"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self._server: WSGIServer | None = None
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        if settings.METRICS_ADDRESS is None:
            return
        address, port = settings.METRICS_ADDRESS
        if metrics.FOLDER is None:
            # Its children would count for nobody.
            logger.warning("metrics_not_served", error="start the worker by python -m avram worker")
            return
        if not is_offered():
            logger.warning("metrics_not_served", error="METRICS_TOKEN is not set")
            return
        kind = _Server6 if ip_address(address).version == 6 else _Server
        try:
            self._server = make_server(address, port, _answer, kind, _QuietHandler)
        except OSError as error:
            logger.warning(
                "metrics_not_served",
                error=f"METRICS_ADDRESS can't be listened on: {error.strerror}",
                address=address,
                port=port,
            )
            return
        # A child that outlives this process must not keep the port.
        os.register_at_fork(after_in_child=self._server.socket.close)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        logger.info("metrics_served", address=address, port=port)

    def stop(self, parent: Any) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    terminate = stop


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and don't ask DNS for a name of ours, which may take as long as it likes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # seconds for a request to come

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who asks has the answer."""


def _answer(request: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, body, headers = "404 Not Found", b"", [("Cache-Control", "no-store")]
    if request["PATH_INFO"] != PATH:
        pass
    elif not may_ask(request.get("HTTP_AUTHORIZATION", "")):
        status = "401 Unauthorized"
        headers.append(("WWW-Authenticate", "Bearer"))
    elif request["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status = "405 Method Not Allowed"
    else:
        try:
            body, content_type = render(request.get("HTTP_ACCEPT", ""))
            status = "200 OK"
            headers.append(("Content-Type", content_type))
        except (OSError, ValueError) as error:
            logger.warning("metrics_not_told", error=str(error))
            status = "500 Internal Server Error"
    start_response(status, headers)
    return [body if request["REQUEST_METHOD"] != "HEAD" else b""]
