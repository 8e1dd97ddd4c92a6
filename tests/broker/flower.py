"""Flower as an operator has it: started by the Procfile's line, asked with its login."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from celery import Celery

from tests.broker.processes import Process, Processes
from tests.environment import free_port

USER, PASSWORD = "operator", "a pass, word"


class Flower:
    """A Flower that has started."""

    def __init__(self, processes: Processes, **variables: str) -> None:
        self._port = free_port()
        variables = {"FLOWER_USER": USER, "FLOWER_PASSWORD": PASSWORD, **variables}
        self._login = f"{USER}:{variables['FLOWER_PASSWORD']}"
        self.process: Process = processes.start(
            "celery", "-A", "celery_app:monitor", "flower", f"--port={self._port}",
            **variables,
        )  # fmt: skip
        self.process.wait_for("Visit me at")

    def page(self, path: str, login: str | None = None, **form: str) -> str:
        """Return a page, by POST where there is a form; the number of the error where there is one."""
        data = urlencode(form).encode() if form else None
        request = Request(f"http://127.0.0.1:{self._port}/{path}", data)
        login = self._login if login is None else login
        if login:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        try:
            with urlopen(request, timeout=20) as response:
                return str(response.read().decode())
        except HTTPError as error:
            with error:
                return str(error.code)

    def api(self, path: str, **form: str) -> Any:
        return json.loads(self.page(f"api/{path}", **form))


@contextmanager
def remote(url: str) -> Iterator[Celery]:
    """Yield what `celery -A celery_app:monitor inspect` and `control` use."""
    with Celery("tests", broker=url, set_as_current=False) as app:
        yield app


def ping(url: str) -> set[str]:
    """Return the workers that answer within two seconds."""
    with remote(url) as app, app.connection() as connection:
        return set(app.control.inspect(timeout=2, connection=connection).ping() or ())
