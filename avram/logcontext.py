"""What each log entry says of the work that it is part of: request, task, correlation id.

Work is one web request, or one task. Celery's own root id is the correlation id: all tasks of a chain
have that of its first task, and so has what they start. The consumer chooses it when it publishes.
"""

from __future__ import annotations

from typing import Any

from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

#: Where a task's request keeps what was bound before it began: an eager task's caller goes on.
_BEFORE = "_log_context_before"


def begin_task(request: Any, name: str) -> None:
    """Bind what a task's entries have in common. ``request`` is Celery's."""
    before = get_contextvars() if request.is_eager else {}
    setattr(request, _BEFORE, before)
    clear_contextvars()
    own = {"task": name, "task_id": request.id, "correlation_id": request.root_id or request.id}
    bind_contextvars(**{**before, **own})
    if request.retries:
        bind_contextvars(retries=request.retries)


def end_task(request: Any) -> None:
    """Bind what was bound before the task, which is nothing in a worker."""
    clear_contextvars()
    bind_contextvars(**getattr(request, _BEFORE, {}))
