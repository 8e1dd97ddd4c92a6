"""Python reads this first in a process with PYTHONPATH=tests/recorder: it writes down what AWS is asked.

A line each in the file that AWS_RECORD names: service, operation and queue or topic.
"""

import os
from typing import Any

from botocore.client import BaseClient

_ask = BaseClient._make_api_call  # type: ignore[attr-defined] # there is no public place before all


def _record(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
    names = ("QueueUrl", "QueueName", "SourceArn", "TopicArn", "SubscriptionArn", "Name")
    where = next((parameters[name] for name in names if name in parameters), "-")
    with open(os.environ["AWS_RECORD"], "a") as record:  # noqa: PTH123 - as little as can be
        name = where.replace("/", ":").rpartition(":")[2]
        record.write(f"{self.meta.service_model.service_name} {operation} {name}\n")
    return _ask(self, operation, parameters)


BaseClient._make_api_call = _record  # type: ignore[attr-defined]
