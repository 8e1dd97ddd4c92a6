"""What `make run` leaves behind, and how it fails."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from honcho.compat import ProcessManager
from honcho.manager import Manager

from local.environment import Local
from local.servers import server
from tests.environment import free_port


def test_variables_are_for_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    file = tmp_path / "local.env"
    file.touch(mode=0o644)

    Local.from_environment().write_file()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "SECRET_KEY=" in file.read_text()


def test_secret_key_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))

    first = Local.from_environment().variables()["SECRET_KEY"]

    assert len(first) >= 50
    assert Local.from_environment().variables()["SECRET_KEY"] == first


def test_server_that_ends_at_once_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"nothing listens on port .* see .*server\.log"),
        server(["false"], {}, free_port(), tmp_path / "server.log"),
    ):
        pass


def test_honcho_still_has_the_part_that_is_replaced() -> None:
    assert isinstance(Manager()._procmgr, ProcessManager)
