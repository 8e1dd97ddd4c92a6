"""Events as a busy Rikolti sends them: interleaved runs, with bodies of real sizes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle
from typing import Any

from tests.factories import HOST, START, airflow_event, sns_body

#: Lengths of the bodies of three real runs, in order of arrival.
REAL_SIZES = (
    4688, 4412, 1399, 1413, 1678, 1750, 1404, 1418, 1769, 1769, 1769, 1783, 1783, 1420,
    2900, 2599, 1426, 1497, 1357, 1357, 1357, 1345, 4392, 1768, 1514, 1336, 1565, 1344,
)  # fmt: skip

#: What an event has besides its message.
_FRAME = 900


def interleaved(events: int, runs: int, *, prefix: str = "run") -> Iterator[str]:
    """Yield the bodies of so many events, one of each run in turn; each run ends well."""
    sizes = cycle(REAL_SIZES)
    for index in range(events):
        run, step = index % runs, index // runs
        last = index >= events - runs
        message: Any = {"dag_complete": True} if last else {"text": "x " * ((next(sizes) - _FRAME) // 2)}
        yield sns_body(
            airflow_event(
                dag_run_id=f"{prefix}__{run:06}",
                host=HOST,
                task_id=f"mapping.map_page_{step % 10}",
                map_index=step,
                rikolti_message=message,
            ),
            message_id=f"{prefix}-{run:06}-{step:06}",
            at=START + timedelta(seconds=step),
        )
