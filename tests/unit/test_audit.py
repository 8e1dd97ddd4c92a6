from __future__ import annotations

import subprocess

import pytest

from local import audit

FOUND = "Name   Version ID\nDjango 5.2     PYSEC-2026-1\n"


def answer(monkeypatch: pytest.MonkeyPatch, code: int, stdout: str = "", stderr: str = "") -> None:
    """Let pip-audit end like this."""
    result = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: result)


@pytest.mark.parametrize(
    "said",
    [
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='index.example.org', port=443)",
        "ERROR:pip_audit._cli:boto3: Dependency not found on PyPI and could not be audited: boto3",
    ],
    ids=["no-network", "mirror"],
)
def test_database_that_is_away_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    answer(monkeypatch, 1, stderr=f"Traceback …\n{said}")

    with pytest.raises(SystemExit, match=r"^Nothing was audited: .+\.$"):
        audit.main(["requirements.txt"])


def test_vulnerability_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, 1, stdout=FOUND, stderr="Found 1 known vulnerability in 1 package\n")

    with pytest.raises(SystemExit) as caught:
        audit.main(["requirements.txt"])

    assert caught.value.code == 1
    assert capsys.readouterr().out == FOUND


def test_nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, 0, stderr="No known vulnerabilities found\n")

    with pytest.raises(SystemExit) as caught:
        audit.main(["requirements.txt"])

    assert caught.value.code == 0
