"""Someone who looks at one page after the other while it all runs, so that web and Flower work too."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import cycle

import requests

from local.environment import HOST, PASSWORD, USER

#: Seconds between pages.
PAUSE = 1.0

PAGES = (
    "/admin/",
    "/admin/harvest/harvestrun/",
    "/admin/harvest/harvestrun/1/change/",
    "/admin/harvest/harvestevent/",
    "/admin/harvest/rejectedmessage/",
    "/admin/django_celery_results/taskresult/",
    "/api/runs/",
    "/api/health/",
    "/healthz",
    "/readyz",
)
FLOWER_PAGES = ("/", "/api/workers?refresh=1", "/tasks", "/api/tasks?limit=100")


class Visitor(threading.Thread):
    """Visits until it is told to end."""

    def __init__(self, web: int, flower: int, others: Sequence[str] = ()) -> None:
        super().__init__(name="visitor", daemon=True)
        self.visits = 0
        #: How often a page was answered by what.
        self.refused: Counter[str] = Counter()
        self._web = f"http://{HOST}:{web}"
        self._others = others
        self._flower = f"http://{HOST}:{flower}"
        self._ending = threading.Event()

    def end(self) -> None:
        self._ending.set()
        self.join()

    def run(self) -> None:
        with requests.Session() as web, requests.Session() as flower:
            flower.auth = (USER, PASSWORD)
            self._log_in(web)
            pages = [(web, self._web + page) for page in PAGES]
            pages += [(web, url) for url in self._others]
            pages += [(flower, self._flower + page) for page in FLOWER_PAGES]
            for session, url in cycle(pages):
                if self._ending.wait(PAUSE):
                    return
                self._visit(session, url)

    def _log_in(self, session: requests.Session) -> None:
        address = f"{self._web}/admin/login/?next=/admin/"
        form = session.get(address, timeout=30).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token is not None, form
        data = {"csrfmiddlewaretoken": token[1], "username": USER, "password": PASSWORD}
        session.post(address, data, headers={"Referer": address}, timeout=30).raise_for_status()

    def _visit(self, session: requests.Session, url: str) -> None:
        try:
            answer = session.get(url, timeout=30, allow_redirects=False)
        except requests.RequestException as error:
            said = type(error).__name__
        else:
            said = (
                ""
                if answer.ok and not answer.is_redirect
                else f"{answer.status_code} {answer.text[:1_000]}"
            )
        self.visits += 1
        if said:
            self.refused[f"{url}: {said}"] += 1
