"""From publication to status on an idle worker, against one bare hop on the same queue server."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from statistics import median, quantiles

from django.conf import settings

from bench.figures import Figure
from bench.world import World
from harvest.tasks import recompute_run_status
from tests.factories import airflow_event

SAMPLES = 200
BARE = "bare-hop"

#: Seconds of quiet before each run, of any length: the local queue server looks for messages ten times
#: a second.
PAUSE = (0.2, 0.4)

#: Tasks before each run, up to so many and one at a time. A worker has two receives, of events and of
#: tasks. With one run soon after the other they are in step: by how quick a machine is, the second is
#: looked at just after what it waits for was sent, each time, or just before. Each of these tasks has
#: it begin anew, some milliseconds later within the tenth of a second: as after a long quiet, any step
#: is as likely as any other.
STEPS = 25
A_LOOK = 0.11

#: Seconds that a receive takes to get to the queue server. The hop of the goals is one whose receive has
#: just begun, as for the path's last hop: the worker asks for tasks again as soon as it has one.
JUST_BEGUN = 0.01

WHY = (
    "latency: the path waits three times for the local queue server's looks, the hop once; the rest\n"
    "is work. A quicker machine would meet the goal, or a queue server that answers when a message\n"
    "comes, as Amazon's does: docs/benchmarks.md."
)

_background = ThreadPoolExecutor(1)
_random = random.Random(1)


def run(world: World) -> list[Figure]:
    world.worker().wait_for("consumer_started")
    hops, waited, paths = [], [], []
    for number in range(1, SAMPLES + 1):
        hops.append(_hop(world, JUST_BEGUN))
        waited.append(_hop(world, _random.uniform(*PAUSE)))
        fall_out_of_step()
        paths.append(path(world, f"latency__{number}"))
        if number % 50 == 0:
            print(
                f"  {number}: a hop {median(hops) * 1000:.0f} ms, the path {median(paths) * 1000:.0f} ms"
            )
    of_waiting = median(paths) / median(waited)
    return [
        Figure("latency: median of a bare hop", median(hops) * 1000, "ms"),
        Figure("latency: median from publication to status", median(paths) * 1000, "ms"),
        Figure("latency: median, in hops", median(paths) / median(hops), "x", at_most=2.5, why=WHY),
        Figure("latency: median, in hops of a receive that has waited", of_waiting, "x"),
        Figure("latency: 99th percentile, in hops", _p99(paths) / _p99(hops), "x", at_most=5, why=WHY),
    ]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def _hop(world: World, begun: float) -> float:
    """Return the seconds from sending a message until a receive, begun so long before, has it."""
    sqs = world.wire.sqs
    url = sqs.create_queue(QueueName=BARE)["QueueUrl"]
    receiving = _background.submit(
        lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["ReceiptHandle"]
    )
    time.sleep(begun)
    started = time.perf_counter()
    sqs.send_message(QueueUrl=url, MessageBody="a message")
    handle = receiving.result()
    seconds = time.perf_counter() - started
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    return seconds


def fall_out_of_step() -> None:
    for _ in range(_random.randrange(STEPS)):
        recompute_run_status.delay(0)  # there is no such run
        time.sleep(A_LOOK)


def path(world: World, run_id: str) -> float:
    """Return the seconds from publishing a run's last event until its status tells of it."""
    event = airflow_event(
        dag_run_id=run_id,
        logical_date=datetime.now(UTC).isoformat(),
        rikolti_message={"dag_complete": True},
    )
    time.sleep(_random.uniform(*PAUSE))
    with world.connect() as connection:
        started = time.perf_counter()
        world.wire.sns.publish(TopicArn=settings.RIKOLTI_EVENTS_TOPIC_ARNS[0], Message=json.dumps(event))
        while not connection.execute(
            "SELECT 1 FROM harvest_harvestrun WHERE dag_run_id = %s AND status = 'succeeded'", [run_id]
        ).fetchone():
            time.sleep(0.002)
        return time.perf_counter() - started
