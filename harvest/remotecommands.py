"""What may be asked of a worker from afar, and what it does then. Runs on the worker's loop.

Celery has more such commands. Left out is what would lose a task (revoke, terminate: the message of a
revoked task is deleted undone), hold one up unseen (cancel_consumer, time_limit), run or load code, or
tell more than a monitor needs (report; conf of the whole of Django's settings; arguments in full).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from celery.utils.collections import AttributeDict
from celery.utils.serialization import jsonify
from celery.utils.time import rate
from celery.worker import state
from celery.worker.control import Panel
from celery.worker.request import Request
from kombu.utils.encoding import safe_repr

from harvest.monitoring import shorten

logger = structlog.stdlib.get_logger(__name__)

#: Processes in a worker's pool, whoever asks for more.
MOST_PROCESSES = 64

#: Seconds within which a worker has to get through what it holds: less than avram-tasks hides it.
LONGEST_HELD = 240

#: Characters of a rate such as 100/m.
LONGEST_RATE = 20

Answer = Mapping[str, Any]
Arguments = Mapping[str, Any]


class Refused(Exception):
    """What is asked for can't be done, or must not be. The text goes to who asked."""


def run(consumer: Any, name: str, arguments: Arguments) -> Any:
    """Do what a command says to the consumer's worker. Return the answer, as JSON can say it.

    Raises nothing: an error is an answer, too.
    """
    try:
        if name in CHANGES:
            logger.warning("remote_command", command=name, arguments=shorten(dict(arguments)))
            return CHANGES[name](consumer, arguments)
        if name in QUESTIONS:
            answer = QUESTIONS[name](consumer, arguments)
            return jsonify(answer, unknown_type_filter=safe_repr)
        raise Refused(f"{shorten(name)} is not offered: docs/monitoring.md names what is")
    except Refused as error:
        return {"error": str(error)}
    except Exception:
        logger.exception("remote_command_failed", command=name)
        return {"error": "it could not be done: the worker's log says why"}


def _ask_celery(name: str) -> Callable[[Any, Arguments], Any]:
    """Return one of Celery's own commands, called without arguments."""

    def command(consumer: Any, arguments: Arguments) -> Any:
        looked_at = AttributeDict(app=consumer.app, hostname=consumer.hostname, consumer=consumer)
        return Panel.data[name](looked_at)

    return command


def _conf(consumer: Any, arguments: Arguments) -> Answer:
    """Return the settings of Celery. Its own command would tell all of Django's."""
    table = consumer.app.conf.table(with_defaults=False)
    return {name: value for name, value in table.items() if name.startswith("CELERY_")}


def _active(consumer: Any, arguments: Arguments) -> list[Answer]:
    return list(_describe(tuple(state.active_requests)))


def _reserved(consumer: Any, arguments: Arguments) -> list[Answer]:
    active = set(state.active_requests)
    return list(
        _describe(request for request in tuple(state.reserved_requests) if request not in active)
    )


def _scheduled(consumer: Any, arguments: Arguments) -> list[Answer]:
    """Return the tasks that wait for a time: none of ours do, they wait on the queue."""
    entries = [waiting.entry for waiting in consumer.timer.schedule.queue]
    requests = [entry.args[0] for entry in entries if entry.args and isinstance(entry.args[0], Request)]
    return [
        {"eta": str(request.eta), "priority": 0, "request": description}
        for request, description in zip(requests, _describe(requests), strict=True)
    ]


def _describe(requests: Iterable[Any]) -> Iterator[Answer]:
    for request in requests:
        info = request.info(safe=True)
        yield {**info, "args": shorten(info["args"]), "kwargs": shorten(info["kwargs"])}


def _pool_grow(consumer: Any, arguments: Arguments) -> Answer:
    return _resize(consumer, _count(arguments))


def _pool_shrink(consumer: Any, arguments: Arguments) -> Answer:
    return _resize(consumer, -_count(arguments))


def _resize(consumer: Any, by: int) -> Answer:
    size = consumer.pool.num_processes + by
    if not 1 <= size <= MOST_PROCESSES:
        raise Refused(f"the pool would have {size} processes: 1 to {MOST_PROCESSES} are allowed")
    if consumer.controller.autoscaler:
        raise Refused("the worker was started with --autoscale, which sets the size")
    try:
        consumer.pool.grow(by) if by > 0 else consumer.pool.shrink(-by)
    except ValueError as error:
        raise Refused("fewer processes are idle than should go: try again") from error
    finally:
        consumer._update_prefetch_count(by)
    return {"ok": f"the pool will have {consumer.pool.num_processes} processes"}


def _count(arguments: Arguments) -> int:
    count = arguments.get("n", 1)
    if type(count) is not int or not 1 <= count <= MOST_PROCESSES:
        raise Refused(f"n is no whole number from 1 to {MOST_PROCESSES}")
    return count


def _rate_limit(consumer: Any, arguments: Arguments) -> Answer:
    name, limit = arguments.get("task_name"), arguments.get("rate_limit")
    if not isinstance(name, str) or name not in consumer.app.tasks:
        raise Refused("task_name is no task of this worker")
    a_second = _a_second(limit)
    if a_second is None:
        raise Refused("rate_limit is no rate such as 10/s, 100/m or 0, which lifts the limit")
    # A worker holds the tasks that wait for their turn. What it held for longer, SQS would give to
    # another, again and again, and in the end to the dead letters.
    held = consumer.initial_prefetch_count
    if a_second and held / a_second > LONGEST_HELD:
        raise Refused(f"too slow: this worker holds {held} tasks, for {LONGEST_HELD} s at the most")
    consumer.app.tasks[name].rate_limit = str(limit) if a_second else None
    consumer.reset_rate_limits()
    return {"ok": "new rate limit set" if a_second else "rate limit lifted"}


def _a_second(limit: object) -> float | None:
    """Return tasks a second, 0 for no limit, None for what is neither."""
    if not isinstance(limit, int | float | str) or len(str(limit)) > LONGEST_RATE:
        return None
    try:
        a_second = float(rate(str(limit)))
    except (ValueError, KeyError):
        return None
    return a_second if 0 <= a_second < float("inf") else None


def _shutdown(consumer: Any, arguments: Arguments) -> Answer:
    """End the worker as SIGTERM does: what runs is done, what waits is given back."""
    state.should_stop = os.EX_OK  # type: ignore[assignment] # the stubs know None alone
    return {"ok": "the worker ends when what runs is done"}


#: What tells, and changes nothing.
QUESTIONS: Mapping[str, Callable[[Any, Arguments], Any]] = {
    **{name: _ask_celery(name) for name in ("ping", "stats", "registered", "revoked", "active_queues")},
    "conf": _conf,
    "active": _active,
    "reserved": _reserved,
    "scheduled": _scheduled,
    # Flower asks for these again and again; they concern what the worker tells, not what it does.
    **{name: _ask_celery(name) for name in ("enable_events", "heartbeat")},
}

CHANGES: Mapping[str, Callable[[Any, Arguments], Answer]] = {
    "pool_grow": _pool_grow,
    "pool_shrink": _pool_shrink,
    "rate_limit": _rate_limit,
    "shutdown": _shutdown,
}
