"""The web process as production runs it."""

from __future__ import annotations

import json
import re
from urllib.request import Request, urlopen

from tests.broker.processes import Processes
from tests.environment import free_port


def test_admin_has_its_styles_and_the_log_no_question(processes: Processes) -> None:
    port = free_port()
    web = processes.start(
        "python", "-m", "avram", "web", PORT=str(port), WEB_CONCURRENCY="1", AVRAM_VERSION="c0ffee",
        DEBUG="0", ALLOWED_HOSTS="127.0.0.1", BEHIND_TLS_PROXY="1",
    )  # fmt: skip
    web.wait_for("Listening at")

    def get(path: str) -> str:
        request = Request(
            f"http://127.0.0.1:{port}{path}",
            headers={
                "X-Forwarded-Proto": "https",
                "Referer": "https://127.0.0.1/r3ferrer",
            },
        )
        with urlopen(request, timeout=20) as response:
            return str(response.read().decode())

    assert "/static/unfold/css/styles.css" in get("/admin/login/?q=a-que5tion")
    assert "font-family" in get("/static/unfold/css/styles.css")
    assert json.loads(get("/healthz")) == {"up": True, "version": "c0ffee"}

    assert web.terminate() == 0
    entries = [json.loads(line) for line in web.log.splitlines()]
    assert {entry["version"] for entry in entries} == {"c0ffee"}
    (answered,) = (entry for entry in entries if entry["event"] == "request_answered")
    assert answered["path"] == "/admin/login/"
    assert not re.search("que5tion|r3ferrer|healthz", web.log)
