"""Which Chromium the tests in a browser get, and what is said where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import browser

APT = """#!/bin/sh
echo "$@" >> {log}
if [ "$2" = install ]; then echo '#!/bin/sh' > {chromium}; /bin/chmod +x {chromium}; fi
exit {code}
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder of the PATH, empty."""
    for name in ("CHROMIUM", "CI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def make_program(file: Path, text: str = "#!/bin/sh\n") -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


def make_apt(programs: Path, *, code: int = 0) -> Path:
    """Put an apt-get beside the programs, and return the file to which it writes its words."""
    log = programs.parent / "apt.log"
    make_program(programs / "apt-get", APT.format(log=log, chromium=programs / "chromium", code=code))
    return log


def test_browser_on_the_path_is_found(programs: Path) -> None:
    chromium = make_program(programs / "chromium-browser")

    assert browser.find() == str(chromium)


def test_browser_that_is_named_goes_first(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(programs / "chromium")
    own = make_program(programs.parent / "my-chromium")
    monkeypatch.setenv("CHROMIUM", str(own))

    assert browser.find() == str(own)


def test_name_that_is_no_program_is_an_error(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")

    with pytest.raises(SystemExit, match="no program"):
        browser.find()


def test_without_a_browser_its_tests_are_skipped_with_a_message(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    browser.main()

    said = capsys.readouterr().out
    assert "There is no Chromium" in said
    assert "skipped" in said
    assert not browser.required()


def test_without_a_browser_ci_fails(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(SystemExit, match="There is no Chromium"):
        browser.main()
    assert browser.required()


def test_root_with_apt_gets_one_installed(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = make_apt(programs)

    browser.main()

    assert "install --yes --no-install-recommends chromium" in log.read_text()
    assert f"Tests in a browser: {programs / 'chromium'}" in capsys.readouterr().out


def test_apt_that_fails_is_told_of(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    make_apt(programs, code=100)

    browser.main()

    assert "apt-get update failed" in capsys.readouterr().out


def test_nothing_is_installed_for_others_than_root(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    log = make_apt(programs)

    browser.main()

    assert not log.exists()
