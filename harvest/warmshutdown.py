"""Before a worker ends, the processes of its pool take what is on its way to them.

Celery 5.7 forgets, when it ends, each task of which no process has said that it took it. Where one was
just written to a process, that process waits for 30 seconds to be heard, and the task comes again. Where
it was written in part, since it is larger than a pipe, its other part never follows: process and worker
wait for each other for ever.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import Any

import structlog
from celery import bootsteps
from celery.concurrency.asynpool import AsynPool

logger = structlog.stdlib.get_logger(__name__)

#: Seconds for all of it, but for a process that is stuck in the midst of an answer. One that was idle
#: takes a task at once, unless the machine is very busy.
PATIENCE = 10.0
#: Seconds of each wait for one process.
MOMENT = 0.05


class WarmShutdown(bootsteps.StartStopStep):
    """Does what the worker's loop did, until each process has said that it took the task it was sent."""

    requires = ("celery.worker.components:Pool",)
    name = "WarmShutdown"

    def close(self, parent: Any) -> None:
        """All steps close before the first is stopped, which is when tasks are forgotten."""
        pool: Any = parent.pool._pool
        if isinstance(pool, AsynPool):
            try:
                _let_take(pool)
            except Exception:  # the worker must end
                logger.exception("tasks_not_handed_over")


def _let_take(pool: Any) -> None:
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until and (jobs := _on_their_way(pool)):
            for job in jobs:
                _go_on_writing(pool, job)
                _listen(pool, job._write_to)
    finally:
        for job in _on_their_way(pool):
            if job._writer() in pool._active_writers:
                _end(job._write_to)
        # Celery would write its last word to a process that died, and wait for a pipe that is full.
        pool._join_exited_workers()


def _end(process: Any) -> None:
    """End a process that would wait for the rest of a task. It has begun nothing."""
    logger.warning("pool_process_stuck", child_pid=process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def _on_their_way(pool: Any) -> list[Any]:
    return [
        job
        for job in pool._cache.values()
        if job._write_to is not None and not job._accepted and job._write_to._is_alive()
    ]


def _go_on_writing(pool: Any, job: Any) -> None:
    writer = job._writer()
    if writer not in pool._active_writers:
        return
    poll = select.poll()
    poll.register(job._write_to.inq._writer, select.POLLOUT)
    if poll.poll(MOMENT * 1_000):
        with suppress(StopIteration, OSError, EOFError):
            next(writer)


def _listen(pool: Any, process: Any) -> None:
    """Read what a process has to say, if anything: that it took a task, or is done with it."""
    handler = pool._result_handler
    if process.outq._reader.poll(MOMENT):
        handler._flush_outqueue(
            process.outqR_fd, set().add, pool._fileno_to_outq, handler.on_state_change
        )
