"""SNS's pen: a key, certificates for it, and messages signed with it."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from harvest.sns import SqsMessage
from tests.factories import START, airflow_event, sns_body, sqs_message

SNS_HOST = "sns.us-west-2.amazonaws.com"
SNS_NAME = "sns.amazonaws.com"
#: Where the factories' messages say that their certificate is.
CERTIFICATE_PATH = "/SimpleNotificationService-1.pem"
CERTIFICATE_URL = f"https://{SNS_HOST}{CERTIFICATE_PATH}"

YEAR = timedelta(days=365)


@cache
def sns_key(bits: int = 2048, which: str = "SNS's") -> rsa.RSAPrivateKey:
    """Return a key, the same each time for the same words."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def certificate(
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    names: tuple[str, ...] = (SNS_NAME,),
    common_name: str = SNS_NAME,
    not_before: datetime = START - YEAR / 2,
    not_after: datetime = START + YEAR / 2,
) -> bytes:
    """Return a PEM certificate. Without ``names`` it has its common name alone."""
    key = key or sns_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return builder.sign(sns_key(which="an authority's"), SHA256()).public_bytes(Encoding.PEM)


def signed_body(body: str, *, version: str = "2", key: rsa.RSAPrivateKey | None = None) -> str:
    """Return the body of a message with its signature, as Amazon's documentation tells to make it."""
    envelope: dict[str, Any] = json.loads(body)
    keys = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if envelope["Type"] != "Notification":
        keys = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in keys if envelope.get(name) is not None)
    signature = (key or sns_key()).sign(text.encode(), PKCS1v15(), {"1": SHA1(), "2": SHA256()}[version])
    envelope["SignatureVersion"] = version
    envelope["Signature"] = base64.b64encode(signature).decode()
    return json.dumps(envelope)


def signed(
    *,
    version: str = "2",
    key: rsa.RSAPrivateKey | None = None,
    sent_at: datetime = START,
    event: dict[str, Any] | None = None,
    **keys: Any,
) -> SqsMessage:
    """Return an event's message as SNS signs it. ``keys`` are those of the envelope."""
    message = keys.pop("Message", airflow_event(**(event or {})))
    return sqs_message(signed_body(sns_body(message, **keys), version=version, key=key), sent_at=sent_at)
