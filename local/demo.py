"""The demo of `make run`: publishes runs through SNS at a human pace, as Rikolti would."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.scripts import Line, Script, scripts

#: Seconds between the starts of the cast's runs, and from one performance to the next.
STAGGER = 4
INTERVAL = 240

AIRFLOW = "https://airflow.example.org"


def main() -> None:
    topic = boto3.client("sns").create_topic(Name="rikolti-events")["TopicArn"]
    while True:
        _publish_what_nobody_understands(topic)
        for script in scripts():
            threading.Thread(target=play, args=(script, topic), daemon=True).start()
            time.sleep(STAGGER)
        print(f"the next performance begins in {INTERVAL} seconds")
        time.sleep(INTERVAL)


def _publish_what_nobody_understands(topic: str) -> None:
    """Give the page of rejected messages something to show."""
    message = {"version": "2.0", "dag_id": "harvest_collection", "rikolti_message": "of the future"}
    boto3.client("sns").publish(TopicArn=topic, Message=json.dumps(message))


def play(script: Script, topic: str) -> None:
    """Publish one run's events, each after its pause."""
    sns = boto3.session.Session().client("sns")
    started = datetime.now(UTC)
    print(f"{script.title}: {script.dag_id} {_run_id(started)}")
    for line in script.lines:
        time.sleep(line.pause)
        try:
            sns.publish(TopicArn=topic, Message=json.dumps(_event(script, line, started)))
        except (BotoCoreError, ClientError) as error:
            print(f"{script.title}: could not publish: {error}")


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
