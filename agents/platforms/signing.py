"""How platforms sign their webhooks. A signature is verified before anything of a body is read."""

import hmac
from base64 import b64encode
from collections.abc import Sequence

from npsflow.agents.platforms import times
from npsflow.agents.platforms.protocol import Delivery, Forged, Stale
from npsflow.agents.web.signatures import matches, standard_webhook

TOLERANCE = 300.0
"""Seconds by which a signed time may be off."""


def hmac_base64(secret: str, message: bytes, digest: str = "sha256") -> str:
    """The HMAC of the message, in base64; `digest` is a name that hashlib knows."""
    return b64encode(hmac.digest(secret.encode(), message, digest)).decode()


def standard_webhooks(delivery: Delivery, secrets: Sequence[str], now: float) -> None:
    """Standard Webhooks 1.0.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; there may be several.

    Raises Forged when none of them holds, Stale when the signed time is off.
    """
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, timestamp, signatures = (delivery.headers.get(name, "") for name in names)

    def expected(secret: str) -> str:
        return standard_webhook(secret, id_, timestamp, delivery.body)

    if not id_ or not any(matches(signature, secrets, expected) for signature in signatures.split()):
        raise Forged("webhook-signature is missing or wrong")
    check_seconds(timestamp, now)


def check_seconds(timestamp: str, now: float) -> None:
    """Raises Stale when the signed time, in seconds since 1970, is off."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Stale("the signed time is no number of seconds")
    _check_age(int(timestamp), now)


def check_iso(timestamp: str, now: float) -> None:
    """Raises Stale when the signed time, in ISO 8601, is off."""
    moment = times.parse_iso(timestamp)
    if moment is None:
        raise Stale("the signed time is no ISO time")
    _check_age(moment.timestamp(), now)


def _check_age(moment: float, now: float) -> None:
    if abs(now - moment) > TOLERANCE:
        raise Stale(f"the signed time is more than {TOLERANCE:.0f} s off")


def bearer(delivery: Delivery, secrets: Sequence[str]) -> None:
    """`Authorization: Bearer SECRET`. Raises Forged."""
    header = delivery.headers.get("authorization", "")
    if not matches(header, secrets, lambda secret: f"Bearer {secret}"):
        raise Forged("the bearer token is missing or wrong")


def static(delivery: Delivery, header: str, secrets: Sequence[str]) -> None:
    """The secret as it is in the header of that name; a bearer token where none is named. Raises Forged."""
    if not header:
        bearer(delivery, secrets)
    elif not matches(delivery.headers.get(header.lower(), ""), secrets, str):
        raise Forged("the header that carries the secret is missing or wrong")
