"""The pages of Airflow that people are led to: of a run, and of a task's log.

Source: the message contract (docs/message-contract.md), and Airflow 3's ``ui/src/router.tsx``.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from harvest.airflow import RunKey


def run_page(key: RunKey, version: int = 2) -> str | None:
    """Return the URL of a run's page, or None where the host is no web address.

    ``version`` is Airflow's, 2 or 3.
    """
    if version == 3:
        return _dag_page(key, f"runs/{quote(key.dag_run_id, safe='')}")
    return _dag_page(key, f"grid?{urlencode({'dag_run_id': key.dag_run_id, 'base_date': ''})}")


def log_page(key: RunKey, task_id: str, map_index: int | None, version: int = 2) -> str | None:
    """Return the URL of the page of a task's log, or None, as :func:`run_page` does."""
    mapped = map_index is not None and map_index >= 0  # -1: not mapped
    if version == 3:
        task = f"runs/{quote(key.dag_run_id, safe='')}/tasks/{quote(task_id, safe='')}"
        return _dag_page(key, f"{task}/mapped/{map_index}" if mapped else task)
    query = {"dag_run_id": key.dag_run_id, "task_id": task_id}
    if mapped:
        query["map_index"] = str(map_index)
    return _dag_page(key, f"grid?{urlencode({**query, 'tab': 'logs'})}")


def _dag_page(key: RunKey, page: str) -> str | None:
    if not is_web_address(key.host):
        return None
    return f"{key.host}/dags/{quote(key.dag_id, safe='')}/{page}"


def is_web_address(host: str) -> bool:
    """Return whether a host from outside may become a link: http or https, and no tricks."""
    try:
        parts = urlsplit(host)
        parts.port  # noqa: B018 - reading it raises where it is no number
    except ValueError:
        return False
    plain = host.isascii() and host.isprintable() and not any(c in host for c in " \"'<>\\^`{|}?#@")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain
