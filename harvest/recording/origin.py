"""Whether a message is from SNS and from a topic of ours: asked before anything of it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from harvest.certificates import Certificates, CertificateUnavailable
from harvest.errors import Malformed, MalformedMessage, excerpt
from harvest.signing import Certificate, certificate_url, check_body, check_signature
from harvest.sns import SqsMessage, Verify, is_enveloped

#: Those of this process.
certificates = Certificates()

#: Certificates that one call may fetch, each a matter of seconds at worst: a batch needs one, or two
#: on the day when SNS changes its own. What asks for more waits for its turn.
MOST_FETCHES = 4


def verifier() -> Verify | None:
    """Return what verifies the messages of one batch, or None where the settings ask for none."""
    return Verifier() if settings.RIKOLTI_VERIFY_SIGNATURES else None


class Verifier:
    """Verifies topic, certificate and signature of the messages of one batch.

    Raises:
        MalformedMessage: SNS did not send this, or another topic did.
        CertificateUnavailable: that can't be known at the moment.
    """

    def __init__(self) -> None:
        self._fetches = 0

    def __call__(self, message: SqsMessage, body: Mapping[str, Any]) -> None:
        check_body(message)
        if not is_enveloped(body):
            raise MalformedMessage(
                Malformed.UNSIGNED,
                "nothing says who sent this: switch raw message delivery off at the subscription, or "
                "RIKOLTI_VERIFY_SIGNATURES",
            )
        if body["TopicArn"] not in settings.RIKOLTI_EVENTS_TOPIC_ARNS:
            raise MalformedMessage(
                Malformed.UNKNOWN_TOPIC,
                f"{excerpt(body['TopicArn'])} is not in RIKOLTI_EVENTS_TOPIC_ARNS",
            )
        check_signature(body, self._certificate(certificate_url(body)), message.sent_at)

    def _certificate(self, url: str) -> Certificate:
        kept = certificates.find(url)
        if kept is not None:
            return kept
        if self._fetches == MOST_FETCHES:
            raise CertificateUnavailable(f"{url} is one certificate too many at once")
        self._fetches += 1
        return certificates.fetch(url)
