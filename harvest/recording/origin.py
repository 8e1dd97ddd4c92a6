"""Whether a message is from SNS and from a topic of ours: asked before anything of it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from harvest.certificates import Certificates, CertificateUnavailable
from harvest.signing import Certificate, check_origin
from harvest.sns import SqsMessage, Verify

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
        check_origin(message, body, settings.RIKOLTI_EVENTS_TOPIC_ARNS, self._certificate)

    def _certificate(self, url: str) -> Certificate:
        kept = certificates.find(url)
        if kept is not None:
            return kept
        if self._fetches == MOST_FETCHES:
            raise CertificateUnavailable(f"{url} is one certificate too many at once")
        self._fetches += 1
        return certificates.fetch(url)
