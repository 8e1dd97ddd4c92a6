"""What several tests of this tier need."""

from __future__ import annotations

import pytest

from harvest import tasks


@pytest.fixture
def deliver_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the task that tells make the attempts itself, which it hands to workers else."""
    monkeypatch.setattr(tasks.deliver_notice, "delay", tasks.deliver_notice)
