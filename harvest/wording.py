"""What people are told: a notice as mail and as a webhook's body. Pure: facts in, text out.

Names and errors in it come from outside. Each is made one line and cut, so that it can neither add a
header to a mail nor a line to its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harvest import limits
from harvest.news import Kind
from harvest.strictjson import mend

#: What is said of the run, in a sentence's place.
WORDS = {
    Kind.FAILED: "Harvest failed",
    Kind.RECOVERED: "Harvest recovered",
    Kind.STALE: "Harvest went silent",
    Kind.LOST: "Harvest lost",
}

#: The kind of a notice that tries a subscription.
TEST = "test"

#: Mail readers show some 70 characters of a subject.
MAX_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of the run that the news is about."""

    kind: Kind
    run_id: int
    dag_id: str
    dag_run_id: str
    logical_date: datetime
    host: str
    collection_id: int | None
    collection: str
    status: str
    status_source: str
    since: datetime
    why: str
    run_url: str
    airflow_url: str | None


def describe(report: Report, at: datetime) -> Mapping[str, Any]:
    """Return a webhook's body: ``type``, ``timestamp`` and ``data`` as Standard Webhooks has them, and
    ``text``, which Slack shows.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    title = one_line(f"{WORDS[report.kind]}: {_subject_of(report)}", MAX_SUBJECT)
    why = one_line(report.why, limits.MAX_REASON)
    return {
        "type": f"harvest.{report.kind}",
        "timestamp": at.isoformat(),
        "text": "\n".join(
            filter(None, (_for_slack(title), _for_slack(why), f"<{report.run_url}|Open the run>"))
        ),
        "data": {
            "title": title,
            "why": why,
            "since": report.since.isoformat(),
            "run_id": report.run_id,
            "dag_id": report.dag_id,
            "dag_run_id": report.dag_run_id,
            "logical_date": report.logical_date.isoformat(),
            "host": report.host,
            "collection_id": report.collection_id,
            "collection": one_line(report.collection, limits.MAX_REASON),
            "status": report.status,
            "status_source": report.status_source,
            "run_url": report.run_url,
            "airflow_url": report.airflow_url,
        },
    }


def describe_test(subscription: str, url: str, at: datetime) -> Mapping[str, Any]:
    """Return the body of a notice that only tries whether it arrives."""
    title = one_line(f"A test of the subscription {subscription}", MAX_SUBJECT)
    return {
        "type": f"harvest.{TEST}",
        "timestamp": at.isoformat(),
        "text": f"{_for_slack(title)}\n<{url}|Open the subscription>",
        "data": {"title": title, "why": "", "subscription_url": url},
    }


def mail(content: Mapping[str, Any]) -> tuple[str, str]:
    """Return subject and plain text of what :func:`describe` returned."""
    data = content["data"]
    facts = (
        ("Why", data["why"]),
        ("Since", data.get("since")),
        ("DAG", data.get("dag_id")),
        ("DAG run", data.get("dag_run_id")),
        ("Logical date", data.get("logical_date")),
        ("Airflow", data.get("airflow_url")),
    )
    lines = [data["title"], ""]
    lines += [f"{name}: {one_line(fact, limits.MAX_REASON)}" for name, fact in facts if fact]
    lines += ["", data.get("run_url") or data["subscription_url"], ""]
    return data["title"], "\n".join(lines)


def count(number: int, thing: str) -> str:
    """Return so many of a thing, such as "1 run" and "2 runs"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def one_line(text: str, length: int) -> str:
    """Return a text without line breaks, control characters and runs of space, cut to this length."""
    printable = "".join(c if c.isprintable() else " " for c in mend(text))
    line = " ".join(printable.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _subject_of(report: Report) -> str:
    if report.collection_id is None:
        return f"{report.dag_id}, {report.dag_run_id}"
    collection = report.collection or "collection"
    return f"{collection} ({report.collection_id}), {report.dag_id}"


def _for_slack(text: str) -> str:
    """Return a text as Slack takes it for text alone: ``<!channel>`` would call everyone.

    Source: https://docs.slack.dev/messaging/formatting-message-text, "Escaping text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
