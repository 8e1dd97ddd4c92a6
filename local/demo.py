"""The demo of `make run`: publishes runs through SNS at a human pace, as Rikolti would.

DEMO_SPEED makes it play faster. After DEMO_FOR it says how much it published, and is still: `make run`
goes on.
"""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from avram import variables
from local.scripts import Line, Script, scripts

#: Seconds between the starts of the cast's runs, and from one performance to the next.
STAGGER = 4
INTERVAL = 240

AIRFLOW = "https://airflow.example.org"

#: What is printed before the counts, as JSON, when nothing more will be published.
OVER = "the demo is over: "


class Demo:
    """Plays the cast of :mod:`local.scripts` again and again, until it is told that it is over."""

    def __init__(self, topic: str, speed: float = 1.0) -> None:
        self.over = threading.Event()
        #: How many ``runs`` were begun; ``events`` and ``rejected`` messages published, ``failures`` to.
        self.counts: Counter[str] = Counter(runs=0, events=0, rejected=0, failures=0)
        self._sns = boto3.client("sns", config=Config(max_pool_connections=50))  # for all threads
        self._topic = topic
        self._speed = speed
        self._lock = threading.Lock()

    def play(self) -> None:
        """Play until it is over. What has been begun by then ends in the midst."""
        players: list[threading.Thread] = []
        while not self.over.is_set():
            self._publish_what_nobody_understands()
            for script in scripts():
                players = [player for player in players if player.is_alive()]
                players.append(threading.Thread(target=self._play_run, args=(script,), daemon=True))
                players[-1].start()
                if self._pause(STAGGER):
                    break
            else:
                print(f"the next performance begins in {INTERVAL / self._speed:.0f} seconds")
                self._pause(INTERVAL)
        for player in players:
            player.join()

    def _publish_what_nobody_understands(self) -> None:
        """Give the page of rejected messages something to show."""
        message = {"version": "2.0", "dag_id": "harvest_collection", "rikolti_message": "of the future"}
        self._publish(message, "rejected")

    def _play_run(self, script: Script) -> None:
        """Publish one run's events, each after its pause."""
        started = datetime.now(UTC)
        print(f"{script.title}: {script.dag_id} {_run_id(started)}")
        self._count("runs")
        for line in script.lines:
            if self._pause(line.pause):
                return
            self._publish(_event(script, line, started), "events")

    def _publish(self, message: Any, kind: str) -> None:
        try:
            self._sns.publish(TopicArn=self._topic, Message=json.dumps(message))
        except (BotoCoreError, ClientError) as error:
            print(f"could not publish: {error}")
            kind = "failures"
        self._count(kind)

    def _pause(self, seconds: float) -> bool:
        """Wait, or until it is over. Return whether it is."""
        return self.over.wait(seconds / self._speed)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1


def main() -> None:
    topic = boto3.client("sns").create_topic(Name="rikolti-events")["TopicArn"]
    demo = Demo(topic, variables.DEMO_SPEED.read())
    if length := variables.DEMO_FOR.find():
        end = threading.Timer(length.total_seconds(), demo.over.set)
        end.daemon = True
        end.start()
    demo.play()
    print(OVER + json.dumps(demo.counts))
    while True:
        signal.pause()  # its end would end all of `make run`


def _event(script: Script, line: Line, started: datetime) -> dict[str, Any]:
    return {
        "version": "1.0",
        "dag_id": script.dag_id,
        "dag_run_id": _run_id(started),
        "logical_date": started.isoformat(),
        "dag_run_conf": script.conf,
        "host": AIRFLOW,
        "task_id": line.task_id,
        "try_number": line.try_number,
        "map_index": line.map_index,
        "rikolti_message": line.message,
    }


def _run_id(started: datetime) -> str:
    return f"manual__{started.isoformat()}"


if __name__ == "__main__":
    main()
