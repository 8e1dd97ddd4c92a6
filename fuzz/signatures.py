"""What must be true of signatures, whatever is signed. Pure: no Django, no network.

The key is another one in each process: no promise depends on it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from harvest.errors import MalformedMessage
from harvest.signing import Certificate, check_origin
from harvest.sns import SqsMessage, parse_notification

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

#: That of the messages to begin with.
TOPIC_ARN = "arn:aws:sns:us-west-2:123456789012:RikoltiEvents"

#: What SNS signs of a notification, and by which hash, by Amazon's documentation.
HASHES = {"1": SHA1(), "2": SHA256()}
SIGNED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


def check(message: SqsMessage) -> bool:
    """What nobody signed is refused; what is signed is refused as soon as anything of it is another.

    Return whether this could be signed, so that it was believed as it was.

    Raises:
        AssertionError: something is believed that must not be.
    """
    message = replace(message, md5_of_body="")
    assert not is_believed(message)
    version = sorted(HASHES)[len(message.body) % len(HASHES)]  # of any input always the same
    envelope = _sign(message.body, version)
    if envelope is None or not is_believed(replace(message, body=json.dumps(envelope))):
        return False
    for altered in _alter(envelope):
        assert not is_believed(replace(message, body=json.dumps(altered))), altered
    return True


def is_believed(message: SqsMessage) -> bool:
    """Return whether a message passes for one that SNS signed with :data:`KEY`, whatever it says."""
    believed = False
    day = timedelta(days=1)
    certificate = Certificate(KEY.public_key(), message.sent_at - day, message.sent_at + day)

    def verify(message: SqsMessage, body: Mapping[str, Any]) -> None:
        nonlocal believed
        check_origin(message, body, [TOPIC_ARN], lambda url: certificate)
        believed = True

    with suppress(MalformedMessage):
        parse_notification(message, verify)
    return believed


def _sign(text: str, version: str) -> dict[str, Any] | None:
    """Return a body with its signature; None where it has not what is signed."""
    try:
        envelope = json.loads(text)
        words = "".join(f"{key}\n{envelope[key]}\n" for key in SIGNED if envelope.get(key) is not None)
        signature = KEY.sign(words.encode(), PKCS1v15(), HASHES[version])
    except (AttributeError, RecursionError, ValueError):
        return None
    signed = {"SignatureVersion": version, "Signature": base64.b64encode(signature).decode()}
    return {**envelope, **signed}


def _alter(envelope: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what somebody else could make of a signed notification."""
    for key in (*SIGNED, "Signature"):
        value = envelope.get(key) or ""
        yield {**envelope, key: f"{value}x"}
        if value:
            yield {**envelope, key: value[1:]}
            yield {name: each for name, each in envelope.items() if name != key}
    yield {**envelope, "SignatureVersion": "1" if envelope["SignatureVersion"] == "2" else "2"}
    if envelope.get("Subject") is not None:  # the same words, cut at other places
        moved = f"{envelope['MessageId']}\nSubject\n{envelope['Subject']}"
        yield {**envelope, "MessageId": moved, "Subject": None}
