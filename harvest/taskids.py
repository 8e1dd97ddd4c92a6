"""Ids of tasks that tell which DAG run a task is about, so that the results of a run's tasks are found.

Of a task's result only the id has an index. Before a run's first events are recorded it is known by
DAG and run id, afterwards by the number of its row: an id begins with a digest of either, and what
follows is random.
"""

from __future__ import annotations

import hashlib
import secrets

#: Hexadecimal digits of the digest: 64 bits tell more runs apart than there will ever be.
_DIGITS = 16


def for_messages(dag_id: str, dag_run_id: str) -> str:
    """Return a new id for a task that works on messages of a DAG run."""
    return _digest(f"messages of {dag_id}\n{dag_run_id}") + secrets.token_hex(16)


def for_run(run_id: int) -> str:
    """Return a new id for a task that works on the run of this row."""
    return _digest(f"run {run_id}") + secrets.token_hex(16)


def ranges(run_id: int, dag_id: str, dag_run_id: str) -> list[tuple[str, str]]:
    """Return between which strings (the second excluded) the ids of a run's tasks are.

    Messages may name no host: runs of one name on two hosts have those tasks in common.
    """
    starts = (_digest(f"messages of {dag_id}\n{dag_run_id}"), _digest(f"run {run_id}"))
    return [(start, f"{start}g") for start in starts]  # "g" comes after all digits, in any collation


def _digest(name: str) -> str:
    encoded = name.encode(errors="surrogatepass")
    return hashlib.sha256(encoded).hexdigest()[:_DIGITS]
