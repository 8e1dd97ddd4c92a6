"""Real messages of every kind, to begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests import factories
from tests.broker.traffic import HOSTILE

#: All that Rikolti is known to send as its message (docs/message-contract.md).
RIKOLTI_MESSAGES = (
    {"records_with_children": None},
    [{"status": "success", "num_mapped_records": 100, "page_exceptions": {}, "mapped_page_path": "a/b"}],
    "27551/vernacular_metadata_2026-11-24T05:21:45/mapped_metadata_2026-11-24T05:22:01/",
    {"error": True, "exception": "KeyError: 'isShownAt'\n", "traceback": "Traceback …\n  File …\n"},
    {"dag_complete": True},
    {"dag_complete": False, "error": True, "reason": "task_failure"},
    '{"dag_complete": true}',
)

CONFS: tuple[Any, ...] = (
    "{'collection_id': '27551'}",
    '{"collection_id": "27551"}',
    {"collection_id": 27551},
    None,
    {},
)


def seeds() -> Iterator[bytes]:
    """Yield bodies: events of every kind, in their envelope and raw, and what was refused before."""
    events = [factories.airflow_event(rikolti_message=message) for message in RIKOLTI_MESSAGES]
    events += [factories.airflow_event(dag_run_conf=conf) for conf in CONFS]
    events += [factories.airflow_event(host=..., version=..., task_id=..., map_index=...)]
    for event in events:
        yield json.dumps(event).encode()
        yield factories.sns_body(event, message_id="00000000-0000-0000-0000-000000000001").encode()
    yield factories.sns_body(events[0], Subject="of a topic").encode()
    yield factories.sns_body("You have chosen …", Type="SubscriptionConfirmation", Token="t").encode()
    for refused in HOSTILE.values():
        yield from (body.encode() for body in refused if len(body) <= 20_000)
