"""What SNS signs, with real keys: accepted as it was signed, and refused in every other form."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.errors import Malformed, MalformedMessage
from harvest.signing import (
    Certificate,
    certificate_url,
    check_origin,
    read_certificate,
    sns_host,
)
from harvest.sns import Notification, SqsMessage, parse_notification
from tests.factories import START, TOPIC_ARN
from tests.signatures import (
    CERTIFICATE_URL,
    SNS_HOST,
    certificate,
    signed,
    sns_key,
)

PEM = certificate()
CONFIRMATION: dict[str, Any] = {
    "SubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=…",
    "Token": "2336412f37",
}


def believe(message: SqsMessage, pem: bytes | None = None) -> Notification:
    """Take a message as the pipeline does, with the certificate at the URL of the factories."""
    trusted = read_certificate(pem or PEM, SNS_HOST)

    def find_certificate(url: str) -> Certificate:
        if url != CERTIFICATE_URL:
            raise MalformedMessage(Malformed.BAD_CERTIFICATE, "there is none")
        return trusted

    def verify(message: SqsMessage, body: Any) -> None:
        check_origin(message, body, [TOPIC_ARN], find_certificate)

    return parse_notification(message, verify)


def refusal(message: SqsMessage, pem: bytes | None = None) -> Malformed:
    with pytest.raises(MalformedMessage) as caught:
        believe(message, pem)
    return caught.value.reason


def refuses(message: SqsMessage) -> bool:
    try:
        believe(message)
    except MalformedMessage:
        return True
    return False


def altered(message: SqsMessage, body: str) -> SqsMessage:
    """The message with another body, and with the digest that SQS would make of that."""
    digest = hashlib.md5(body.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()
    return replace(message, body=body, md5_of_body=digest)


def with_keys(message: SqsMessage, **keys: Any) -> SqsMessage:
    """The message with other values in its envelope; one given as ... is left out."""
    envelope = {**json.loads(message.body), **keys}
    body = json.dumps({key: value for key, value in envelope.items() if value is not ...})
    return altered(message, body)


# --- What SNS signed ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"Subject": "A subject"},
        {"Subject": None},
        {"Message": json.dumps({"name": "Ænima 📚"}, ensure_ascii=False)},
        {"Message": json.dumps({"a": 1}, indent=1)},
        {"MessageAttributes": {"kind": {"Type": "String", "Value": "event"}}},
        {"UnsubscribeURL": ...},
    ],
    ids=["plain", "subject", "null subject", "any text", "lines", "attributes", "no unsubscribe URL"],
)
def test_signed_message_is_believed(version: str, keys: dict[str, Any]) -> None:
    message = signed(version=version, **keys)

    assert believe(message) == parse_notification(message)


def test_version_1_is_no_version_2() -> None:
    assert refusal(with_keys(signed(version="1"), SignatureVersion="2")) is Malformed.BAD_SIGNATURE


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_confirmation_is_verified_and_left_to_a_person(kind: str) -> None:
    message = signed(Type=kind, Message="You have chosen …", **CONFIRMATION)

    assert refusal(message) is Malformed.SUBSCRIPTION
    assert refusal(with_keys(message, Token="another")) is Malformed.BAD_SIGNATURE
    assert refusal(with_keys(message, SubscribeURL="https://…")) is Malformed.BAD_SIGNATURE


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_text_is_believed_as_signed_and_no_other(text: str, other: str) -> None:
    message = signed(Type="SubscriptionConfirmation", Message=text, **CONFIRMATION)

    assert refusal(message) is Malformed.SUBSCRIPTION
    if other != text:
        assert refusal(with_keys(message, Message=other)) is Malformed.BAD_SIGNATURE


# --- What it did not sign -------------------------------------------------------------------------


def flips(body: str) -> Iterator[tuple[int, str]]:
    """Yield the body with each of its bits flipped, one at a time, and where."""
    assert body.isascii()
    for index, character in enumerate(body):
        for bit in range(7):
            yield index, body[:index] + chr(ord(character) ^ 1 << bit) + body[index + 1 :]


SHORT: dict[str, Any] = {"event": {"rikolti_message": ..., "task_id": ...}}


def test_flipped_bit_anywhere_is_refused() -> None:
    message = signed(**SHORT)

    for _, body in flips(message.body):
        assert refuses(replace(message, body=body))


@pytest.mark.parametrize("version", ["1", "2"])
def test_flipped_bit_with_a_fitting_digest_changes_nothing_that_is_kept(version: str) -> None:
    """The unsubscribe URL and what comes after it here, the attributes, are not signed: in them alone a
    bit can go unseen."""
    attributes = {"k": {"Type": "String", "Value": "v"}}
    message = signed(version=version, MessageAttributes=attributes, **SHORT)
    original = believe(message)
    bodies = ((index, altered(message, body)) for index, body in flips(message.body))

    unseen = {index: altered for index, altered in bodies if not refuses(altered)}

    assert min(unseen) >= message.body.index("UnsubscribeURL")
    assert all(believe(altered) == original for altered in unseen.values())


@pytest.mark.parametrize("key", ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"])
@pytest.mark.parametrize("value", ["another", "", None, 1, ["Notification"], {}, ...], ids=repr)
def test_signed_part_that_is_another(key: str, value: Any) -> None:
    message = signed(Subject="A subject")

    assert refuses(with_keys(message, **{key: value}))


def test_subject_can_not_become_part_of_the_identity() -> None:
    """The text that is signed is the same: only its lines are told apart otherwise."""
    message = signed(Subject="A subject", message_id="cf997318")

    forged = with_keys(message, Subject=..., MessageId="cf997318\nSubject\nA subject")

    assert refusal(forged) is Malformed.BAD_SIGNATURE


def test_character_that_is_mended_later_is_verified_as_it_is() -> None:
    message = signed(Message="{}", Subject="a\ufffd")

    for other in ("a\0", "a\ud800"):
        assert refusal(with_keys(message, Subject=other)) is Malformed.BAD_SIGNATURE
    assert believe(signed(Message="{}", Subject="a\0")).envelope["Subject"] == "a\ufffd"


def test_key_that_is_there_twice_is_refused() -> None:
    message = signed()
    twice = '{"Message": "{}", ' + message.body[1:]

    assert refusal(altered(message, twice)) is Malformed.UNREASONABLE


@pytest.mark.parametrize(
    "alter",
    {
        # Its bits say nothing, and most readers don't look.
        "last character": lambda text: text[:-3] + chr(ord(text[-3]) ^ 1) + "==",
        "no padding": lambda text: text[:-2],
        "half the padding": lambda text: text[:-1],
        "more padding": lambda text: text + "=",
        "line break": lambda text: text[:100] + "\n" + text[100:],
        "last line break": lambda text: text + "\n",
        "not ASCII": lambda text: text[:100] + "é" + text[100:],
        "of URLs": lambda text: base64.urlsafe_b64encode(b"\xff" * 256).decode(),
        "a byte less": lambda text: base64.b64encode(base64.b64decode(text)[:-1]).decode(),
        "a byte more": lambda text: base64.b64encode(base64.b64decode(text) + b"\0").decode(),
        "a zero before": lambda text: base64.b64encode(b"\0" + base64.b64decode(text)).decode(),
        "long": lambda text: "x" * 200_000,
        "short": lambda text: "!",
    }.items(),
    ids=lambda alter: alter[0],
)
def test_signature_in_any_other_form(alter: tuple[str, Callable[[str], str]]) -> None:
    message = signed()
    signature = json.loads(message.body)["Signature"]
    assert signature.endswith("==")

    assert refusal(with_keys(message, Signature=alter[1](signature))) is Malformed.BAD_SIGNATURE


@pytest.mark.parametrize("version", ["0", "3", "1.0", " 1", "SHA1"])
def test_unknown_signature_version(version: str) -> None:
    assert refusal(with_keys(signed(), SignatureVersion=version)) is Malformed.BAD_SIGNATURE


@pytest.mark.parametrize("key", ["Signature", "SignatureVersion", "SigningCertURL"])
def test_what_a_signature_consists_of_is_missing(key: str) -> None:
    assert refusal(with_keys(signed(), **{key: ...})) is Malformed.MISSING_KEY


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.us-west-2.amazonaws.com.example.org/?Action=Unsubscribe",
        "javascript:alert(1)",
        f"https://{SNS_HOST}/?Action=Unsubscribe&SubscriptionArn={TOPIC_ARN}:not-a-uuid",
        f"https://{SNS_HOST}/?Action=Unsubscribe&SubscriptionArn={TOPIC_ARN}2:"
        "c9135db0-26c4-47ec-8998-413945fb5a96",
        1,
        "",
    ],
)
def test_unsubscribe_url_of_something_else(url: object) -> None:
    assert refusal(with_keys(signed(), UnsubscribeURL=url)) is Malformed.BAD_SIGNATURE


def test_body_without_the_digest_of_sqs_has_its_signature_alone() -> None:
    message = replace(signed(), md5_of_body="")

    assert believe(message)
    assert refusal(with_keys(message, MessageId="another")) is Malformed.BAD_SIGNATURE


# --- Certificates ---------------------------------------------------------------------------------


def test_certificate_with_another_key() -> None:
    other = certificate(key=sns_key(which="somebody's"))

    assert refusal(signed(), other) is Malformed.BAD_SIGNATURE
    assert refusal(signed(key=sns_key(which="somebody's"))) is Malformed.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("seconds", "valid"), [(-1, False), (0, True), (3600, True), (7200, True), (7201, False)]
)
def test_certificate_must_be_valid_when_the_queue_took_the_message(seconds: int, valid: bool) -> None:
    pem = certificate(not_before=START, not_after=START + timedelta(hours=2))
    message = signed(sent_at=START + timedelta(seconds=seconds))

    if valid:
        assert believe(message, pem)
    else:
        assert refusal(message, pem) is Malformed.BAD_CERTIFICATE


def test_certificate_is_not_asked_what_the_message_says_of_its_time() -> None:
    pem = certificate(not_after=START)
    message = signed(at=START - timedelta(days=1), sent_at=START + timedelta(days=1))

    assert refusal(message, pem) is Malformed.BAD_CERTIFICATE


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("sns.us-west-2.amazonaws.com", "sns.amazonaws.com"),
        ("sns.us-west-2.amazonaws.com", "sns.us-west-2.amazonaws.com"),
        ("sns.af-south-1.amazonaws.com", "sns-signing.af-south-1.amazonaws.com"),
        ("sns.us-gov-west-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"),
        ("sns.us-gov-east-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"),
        ("sns.cn-north-1.amazonaws.com.cn", "sns-cn-north-1.amazonaws.com.cn"),
    ],
)
def test_certificate_of_sns(host: str, name: str) -> None:
    assert read_certificate(certificate(names=("example.org", name), common_name="example.org"), host)
    assert read_certificate(certificate(names=(), common_name=name), host)


@pytest.mark.parametrize(
    "pem",
    [
        certificate(names=("sns.us-east-1.amazonaws.com",)),
        certificate(names=("*.amazonaws.com",)),
        certificate(names=("sns.amazonaws.com.example.org",)),
        certificate(names=("example.org",), common_name="sns.amazonaws.com"),
        certificate(names=(), common_name="example.org"),
        certificate(names=("sns-us-gov-west-1.amazonaws.com",)),
        certificate(key=ec.generate_private_key(ec.SECP256R1())),
        certificate(key=sns_key(bits=1024)),
        PEM[:-100],
        PEM.replace(b"M", b"N"),
        b"",
        b"<html></html>",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        sns_key().public_key().public_numbers().n.to_bytes(256, "big"),
    ],
    ids=[
        "region", "wildcard", "longer", "common name alone", "common name", "partition", "EC", "short",
        "cut", "tampered", "empty", "html", "no DER", "bytes",
    ],
)  # fmt: skip
def test_certificate_of_nobody_known(pem: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        read_certificate(pem, SNS_HOST)
    assert caught.value.reason is Malformed.BAD_CERTIFICATE


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(PEM) - 1), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_certificate_with_any_byte_changed_is_read_or_refused(at: int, byte: int) -> None:
    pem = bytearray(PEM)
    pem[at] = byte

    with suppress(MalformedMessage):
        assert isinstance(read_certificate(bytes(pem), SNS_HOST), Certificate)


# --- Where they are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic_arn", "host"),
    [
        (TOPIC_ARN, SNS_HOST),
        ("arn:aws:sns:us-west-2:123456789012:RikoltiEvents.fifo", SNS_HOST),
        ("arn:aws:sns:ap-southeast-2:123456789012:x", "sns.ap-southeast-2.amazonaws.com"),
        ("arn:aws-us-gov:sns:us-gov-east-1:123456789012:x", "sns.us-gov-east-1.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:x", "sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_sns_host_of_a_topic(topic_arn: str, host: str) -> None:
    path = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"

    assert sns_host(topic_arn) == host
    assert certificate_url({"TopicArn": topic_arn, "SigningCertURL": f"https://{host}{path}"})


@pytest.mark.parametrize(
    "topic_arn",
    [
        "",
        "RikoltiEvents",
        "arn:aws:sqs:us-west-2:123456789012:rikolti-events",
        "arn:aws-iso:sns:us-iso-east-1:123456789012:x",
        "arn:aws:sns:us-west-2:1234:x",
        "arn:aws:sns:us-west-2:123456789012:",
        "arn:aws:sns::123456789012:x",
        "arn:aws:sns:evil.example.org#-1:123456789012:x",
        " " + TOPIC_ARN,
        TOPIC_ARN + "\n",
        TOPIC_ARN + ":c9135db0-26c4-47ec-8998-413945fb5a96",
    ],
)
def test_sns_host_of_something_else(topic_arn: str) -> None:
    with pytest.raises(ValueError, match="is no ARN of an SNS topic"):
        sns_host(topic_arn)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "HTTPS://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "//sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com.cn/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com.example.org/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com@example.org/SimpleNotificationService-1.pem",
        "https://user@sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com:443/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com./SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com\\@example.org/SimpleNotificationService-1.pem",
        "https://bucket.s3.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://example.org/SimpleNotificationService-1.pem",
        "https://169.254.169.254/SimpleNotificationService-1.pem",
        f"{CERTIFICATE_URL}?Action=Publish",
        f"{CERTIFICATE_URL}#x",
        f"{CERTIFICATE_URL}\n",
        f"{CERTIFICATE_URL}/../x",
        f"https://{SNS_HOST}/?Action=Publish&x=/SimpleNotificationService-1.pem",
        f"https://{SNS_HOST}/x/SimpleNotificationService-1.pem",
        f"https://{SNS_HOST}//SimpleNotificationService-1.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-..%2f.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-fake.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-{'1' * 65}.pem",
        f"https://{SNS_HOST}/SimpleNotificationService-1٣.pem",
        f" {CERTIFICATE_URL}",
        "file:///SimpleNotificationService-1.pem",
    ],
)
def test_certificate_url_anywhere_else(url: str) -> None:
    assert refusal(with_keys(signed(), SigningCertURL=url)) is Malformed.BAD_CERTIFICATE
