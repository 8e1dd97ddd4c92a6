"""What SNS signs, and the check of it. No network.

Source of the rules: Amazon's documentation, "Verifying the signatures of Amazon SNS messages"; the
hosts and the names in certificates are those of Amazon's own check (sns-message-manager of the AWS
SDK for Java 2).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509.oid import NameOID

from harvest.errors import Malformed, MalformedMessage, excerpt
from harvest.sns import SqsMessage, is_enveloped, read_text

_TOPIC_ARN = re.compile(
    r"arn:(aws|aws-us-gov|aws-cn):sns:([a-z]{2}(?:-[a-z]+)+-[0-9]):[0-9]{12}:[A-Za-z0-9_-]+(?:\.fifo)?"
)
_DOMAINS = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[0-9a-f]{1,64}\.pem")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
#: What is signed of each type, in this order. Nothing else in an envelope can be relied on.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - version 1 is what topics have by default

#: Bits. SNS's keys have as many; what is shorter can be broken.
MIN_KEY_SIZE = 2048


@dataclass(frozen=True, slots=True)
class Certificate:
    """The key that SNS signs with, and when it may: aware datetimes, both included."""

    key: RSAPublicKey
    not_before: datetime
    not_after: datetime


def sns_host(topic_arn: str) -> str:
    """Return the host of SNS in a topic's region, which serves the certificates of its messages.

    Raises:
        ValueError: this is no ARN of a topic, or of a partition whose hosts are not known here.
    """
    match = _TOPIC_ARN.fullmatch(topic_arn)
    if match is None:
        raise ValueError(f"{topic_arn!r} is no ARN of an SNS topic, in aws, aws-us-gov or aws-cn")
    partition, region = match.groups()
    return f"sns.{region}.{_DOMAINS[partition]}"


def check_origin(
    message: SqsMessage,
    body: Mapping[str, Any],
    topic_arns: Collection[str],
    find_certificate: Callable[[str], Certificate],
) -> None:
    """Check that SNS sent a message, for one of these topics. ``find_certificate`` has that of a URL.

    Raises:
        MalformedMessage: SNS did not send this, or another topic did.
        Exception: what ``find_certificate`` raises.
    """
    check_body(message)
    if not is_enveloped(body):
        raise MalformedMessage(
            Malformed.UNSIGNED,
            "nothing says who sent this: switch raw message delivery off at the subscription, or "
            "RIKOLTI_VERIFY_SIGNATURES",
        )
    if body["TopicArn"] not in topic_arns:
        raise MalformedMessage(
            Malformed.UNKNOWN_TOPIC, f"{excerpt(body['TopicArn'])} is not in RIKOLTI_EVENTS_TOPIC_ARNS"
        )
    check_signature(body, find_certificate(certificate_url(body)), message.sent_at)


def check_body(message: SqsMessage) -> None:
    """Hold the body against the digest that SQS gave with it, where it did.

    Raises:
        MalformedMessage: ``BAD_SIGNATURE``, the body is not the one that was sent.
    """
    body = message.body.encode(errors="surrogatepass")
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if message.md5_of_body not in ("", digest):
        raise _bad_signature(f"the body's MD5 is {digest}, not {excerpt(message.md5_of_body)}")


def certificate_url(body: Mapping[str, Any]) -> str:
    """Return where the certificate is: on SNS's host of the topic's own region, and nowhere else.

    Raises:
        MalformedMessage: ``BAD_CERTIFICATE``, the URL is another one.
        ValueError: ``TopicArn`` is no ARN of a topic.
    """
    url = read_text(body, "SigningCertURL")
    host = sns_host(read_text(body, "TopicArn"))
    if not (url.startswith(f"https://{host}/") and _CERTIFICATE_PATH.fullmatch(url, 8 + len(host))):
        raise _bad_certificate(f"the certificate is not one of {host}: {excerpt(url)}")
    return url


def read_certificate(pem: bytes, host: str) -> Certificate:
    """Read the certificate that an SNS host served.

    Raises:
        MalformedMessage: ``BAD_CERTIFICATE``, it is none, is another's, or has an unfit key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        names = _names(certificate)
        validity = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (
        ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:  # fmt: skip
        raise _bad_certificate(f"{host} serves no certificate: {error}") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_SIZE:
        raise _bad_certificate(f"the certificate of {host} has no RSA key of {MIN_KEY_SIZE} bits")
    if names.isdisjoint(_names_of_sns(host)):
        raise _bad_certificate(f"the certificate of {host} is not SNS's: {sorted(names)}")
    return Certificate(key, *validity)


def check_signature(body: Mapping[str, Any], certificate: Certificate, at: datetime) -> None:
    """Verify what SNS signed of an envelope, by a certificate that must have been valid at a time.

    Raises:
        MalformedMessage: ``BAD_SIGNATURE`` or ``BAD_CERTIFICATE``, or that of a part that is missing.
    """
    if not certificate.not_before <= at <= certificate.not_after:
        raise _bad_certificate(
            f"the certificate is valid from {certificate.not_before:%Y-%m-%d} to "
            f"{certificate.not_after:%Y-%m-%d}, and the message of {at:%Y-%m-%d}"
        )
    version = read_text(body, "SignatureVersion")
    algorithm = _HASHES.get(version)
    if algorithm is None:
        raise _bad_signature(f"SignatureVersion is {excerpt(version)}, not 1 or 2")
    signature = _decode(read_text(body, "Signature"))
    try:
        certificate.key.verify(signature, _signed_text(body), PKCS1v15(), algorithm)
    except InvalidSignature:
        raise _bad_signature("the signature is not that of this message") from None
    _check_unsubscribe_url(body)


def _signed_text(body: Mapping[str, Any]) -> bytes:
    kind = read_text(body, "Type")
    if kind not in _SIGNED:
        raise MalformedMessage(Malformed.WRONG_TYPE, f"Type is {excerpt(kind)}, not Notification")
    text = ""
    for key in _SIGNED[kind]:
        if key == "Subject" and body.get(key) is None:
            continue
        value = read_text(body, key)
        # Names and values are told apart by line breaks alone: a MessageId that goes on with
        # "\nSubject\n…" has the signature of one without it, followed by that subject.
        if "\n" in value and key != "Message":
            raise _bad_signature(f"{key} has a line break")
        text += f"{key}\n{value}\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _bad_signature("an unpaired surrogate, which can't be signed") from None


def _decode(text: str) -> bytes:
    """Decode Base64 in its one canonical form: the last character has bits that say nothing."""
    try:
        signature = base64.b64decode(text, validate=True)
    except ValueError:
        signature = b""
    if base64.b64encode(signature).decode() != text:
        raise _bad_signature("the signature is not in Base64")
    return signature


def _check_unsubscribe_url(body: Mapping[str, Any]) -> None:
    """It isn't signed, nothing here uses it, and a person may: it must be of the topic."""
    url = body.get("UnsubscribeURL")
    if url is None:
        return
    topic_arn = read_text(body, "TopicArn")
    start = f"https://{sns_host(topic_arn)}/?Action=Unsubscribe&SubscriptionArn={topic_arn}:"
    if not (isinstance(url, str) and url.startswith(start) and _UUID.fullmatch(url, len(start))):
        raise _bad_signature("UnsubscribeURL is not of this topic")


def _names(certificate: x509.Certificate) -> set[str]:
    """Return whom a certificate is for: its DNS names or, where it has none, its common name."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return {str(name.value) for name in common_names}
    return set(extension.value.get_values_for_type(x509.DNSName))


def _names_of_sns(host: str) -> set[str]:
    """Return the names that SNS's certificates have, which differ from region to region."""
    _, region, domain = host.split(".", 2)
    names = {f"sns.{domain}", host, f"sns-signing.{region}.{domain}", f"sns-{region}.{domain}"}
    if region.startswith("us-gov-"):
        names.add(f"sns-us-gov-west-1.{domain}")
    return names


def _bad_signature(detail: str) -> MalformedMessage:
    return MalformedMessage(Malformed.BAD_SIGNATURE, detail)


def _bad_certificate(detail: str) -> MalformedMessage:
    return MalformedMessage(Malformed.BAD_CERTIFICATE, detail)
