"""How one body is made from another: by its structure, or byte by byte.

Bytes alone seldom get past the reader of JSON. So most changes are made to the data that a body
holds, also where it is JSON in JSON, and keep the rest of a message as it was.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from harvest import limits

MutateBytes = Callable[[bytes], bytes]

#: Bytes: room for all that has a bound of its own, but for a whole body. tests/db has the large ones.
MAX_LENGTH = 2 * limits.MAX_REPR

#: Of a JSON text, what json.dumps never writes: it stands between two of these in a str.
_MARK = "\ue000"
_MARKED = re.compile(r'\\*"\\+ue000(.*?)\\+ue000\\*"')

#: The words of SNS, Airflow and Rikolti; keys that libraries on the way have taken for their own.
WORDS = (
    "Type", "MessageId", "TopicArn", "Message", "Timestamp", "Notification", "SubscriptionConfirmation",
    "version", "dag_id", "dag_run_id", "logical_date", "dag_run_conf", "host", "task_id", "try_number",
    "map_index", "rikolti_message", "dag_complete", "error", "exception", "traceback", "reason",
    "collection_id", "__type__", "__value__", "properties", "body_encoding", "", "\0", "a" * 300,
)  # fmt: skip

#: What may be of any form, or is a message in itself: where a change does not end in a refusal.
OPEN = ("Message", "rikolti_message", "dag_run_conf", "host", "task_id", "map_index", "try_number")


def _raw(text: str) -> str:
    return f"{_MARK}{text}{_MARK}"


def _nested(depth: int) -> str:
    return _raw("[" * depth + "]" * depth)


#: What stands at a bound, just beyond it, or has broken something once.
VALUES: tuple[Any, ...] = (
    None, True, False, "", " ", [], {}, "null", "true", "{}", "[]",
    0, -1, 0.0, -0.0, 1, 1.0, "1.0", 2, limits.MAX_INTEGER, limits.MAX_INTEGER + 1, -(2**63),
    10**limits.MAX_DIGITS - 1, 10**limits.MAX_DIGITS, limits.MAX_FLOAT, limits.MIN_FLOAT / 2, 1e308,
    _raw("NaN"), _raw("-Infinity"), _raw("1e999"), _raw("1" * 5000), _raw("-0"), _raw("01"), _raw("'a'"),
    _nested(limits.MAX_DEPTH - 2), _nested(limits.MAX_DEPTH), _nested(limits.MAX_DEPTH + 1),
    _nested(2000),
    "\0", "\ud800", "\udfff\ud800", "📚", "\u202e", "\r\n", "<script>alert(1)</script>", "%s{}%(a)s",
    "x" * limits.MAX_MESSAGE_ID, "x" * (limits.MAX_MESSAGE_ID + 1), "é" * limits.MAX_ID,
    "📚" * limits.MAX_ID, "x" * (limits.MAX_ID + 1), "x" * (limits.MAX_HOST + 1), "x" * 3000,
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2026-W48-2T05:21:34Z", "20261124",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z",
    "2026-11-24T05:21:34.123456789+00:00",
    "javascript:alert(1)", "https://[::1", "http://a:99999", "HTTPS://A.ORG//", "https://é.org", "//a",
    "{'collection_id': '27551'}", "{'a': 1e999}", "{1: None, (2,): b'c'}", "{'a': '\\d'}", "1if 1else 2",
    "{" * 300, "-" * 900 + "1", "()" * 900, "'" + "\\" * 999, "{'a': 0x" + "f" * 5000 + "}",
    {"dag_complete": True}, {"dag_complete": False}, {"dag_complete": None}, {"dag_complete": "true"},
    {"error": True}, {"error": None}, {"error": []}, '{"dag_complete": true, "error": 0}', ["error"],
    {"error": True, "exception": 5, "reason": {}, "traceback": []}, {"collection_id": True},
    {"collection_id": " 27551 "}, {"collection_id": "\x1c5"},
    {"collection_id": "5\x1f\x85"}, {"collection_id": "٣"}, {"collection_id": "9" * 5000},
    {"__type__": "datetime", "__value__": "no"}, {"properties": {"delivery_info": "x"}},
)  # fmt: skip


def decode(body: bytes) -> str:
    """Return a body as text. Bytes that are none become unpaired surrogates."""
    return body.decode(errors="surrogateescape")


def mutate(body: bytes, seeds: Sequence[bytes], rng: random.Random, mutate_bytes: MutateBytes) -> bytes:
    """Return another body, which differs in one place or in a few: often from a real message.

    What is far from any is refused early, and teaches little.
    """
    if rng.random() < 0.5:
        body = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        body = _mutate_once(body, rng, mutate_bytes)
    return body


def flip_bytes(rng: random.Random) -> MutateBytes:
    """Return what changes single bytes, for where libFuzzer is not there to do it."""

    def flip(data: bytes) -> bytes:
        changed = bytearray(data or b" ")
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(changed))
            changed[place : place + rng.randint(0, 2)] = rng.choice(
                (b"", b'"', b"{", b"]", b"\\", b"\xff")
            )
            changed = changed or bytearray(b"0")
        return bytes(changed)

    return flip


def _mutate_once(body: bytes, rng: random.Random, mutate_bytes: MutateBytes) -> bytes:
    if rng.random() < 0.05:
        return mutate_bytes(body)
    try:
        return _write(_change(json.loads(body), rng, mutate_bytes)).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return mutate_bytes(body)


def _write(data: Any) -> str:
    return _MARKED.sub(r"\1", json.dumps(data))


def _change(data: Any, rng: random.Random, mutate_bytes: MutateBytes) -> Any:
    """Return data with one place changed, at any depth."""
    if isinstance(data, str) and data[:1] in ("{", "[") and rng.random() < 0.9:
        try:
            return json.dumps(_change(json.loads(data), rng, mutate_bytes))
        except (ValueError, RecursionError):
            pass
    if isinstance(data, (dict, list)) and data and rng.random() < 0.8:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = rng.choice([key for key in keys if key in OPEN and rng.random() < 0.5] or keys)
        changed = data.copy()
        changed[key] = _change(data[key], rng, mutate_bytes)
        return changed
    return rng.choice((_replace, _replace, _reshape, _wrap))(data, rng, mutate_bytes)


def _replace(data: Any, rng: random.Random, mutate_bytes: MutateBytes) -> Any:
    return rng.choice(VALUES)


def _reshape(data: Any, rng: random.Random, mutate_bytes: MutateBytes) -> Any:
    """Change a value within its type."""
    if isinstance(data, dict):
        changed = dict(data)
        if changed and rng.random() < 0.5:
            del changed[rng.choice(list(changed))]
        if rng.random() < 0.6:
            changed[rng.choice(WORDS)] = rng.choice(VALUES)
        return changed
    if isinstance(data, list):
        return data + [rng.choice(VALUES)] * rng.randint(1, 3)
    if isinstance(data, str):
        return mutate_bytes(data.encode(errors="replace")).decode(errors="surrogateescape")
    return rng.randint(-(10**9), 10**9)


def _wrap(data: Any, rng: random.Random, mutate_bytes: MutateBytes) -> Any:
    """Put a value into another, or into a text, as publishers and subscriptions of many kinds do."""
    topic = {"Type": "Notification", "TopicArn": "arn", "MessageId": "id", "Timestamp": VALUES[-1]}
    return rng.choice(
        (
            [data],
            {rng.choice(WORDS): data},
            json.dumps(data),
            repr(data),
            {**topic, "Timestamp": "2026-11-24T05:21:34Z", "Message": json.dumps(data)},
        )
    )
