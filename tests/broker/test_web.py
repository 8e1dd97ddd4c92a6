"""The web process as production runs it."""

from __future__ import annotations

from urllib.request import Request, urlopen

from tests.broker.processes import Processes
from tests.environment import free_port


def test_admin_has_its_styles(processes: Processes) -> None:
    port = free_port()
    web = processes.start(
        "gunicorn", "avram.wsgi", f"--bind=127.0.0.1:{port}", "--no-control-socket",
        DEBUG="0", ALLOWED_HOSTS="127.0.0.1", BEHIND_TLS_PROXY="1",
    )  # fmt: skip
    web.wait_for("Listening at")

    def get(path: str) -> str:
        request = Request(f"http://127.0.0.1:{port}{path}", headers={"X-Forwarded-Proto": "https"})
        with urlopen(request, timeout=20) as response:
            return str(response.read().decode())

    assert "/static/unfold/css/styles.css" in get("/admin/login/")
    assert "font-family" in get("/static/unfold/css/styles.css")
