"""Signatures of webhooks, compared in constant time on the raw body, before anything of it is read."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Sequence
from hashlib import sha256

from npsflow.agents.intake.delivery import Delivery, Forged, Stale

TOLERANCE = 300.0
"""Seconds that a signed time may be off."""


def matches(given: str, secrets: Sequence[str], expected: Callable[[str], str]) -> bool:
    """Whether `given` is what one of the secrets gives; every one is tried, so that time tells nothing."""
    found = [hmac.compare_digest(given.encode(), expected(secret).encode()) for secret in secrets]
    return any(found)


def hmac_base64(secret: str, message: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), message, sha256)).decode()


def standard_webhooks(delivery: Delivery, secrets: Sequence[str], now: float) -> None:
    """Standard Webhooks 1.0.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; several may be given."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, timestamp, given = (delivery.headers.get(name, "") for name in names)
    signed = f"{id_}.{timestamp}.".encode() + delivery.body

    def expected(secret: str) -> str:
        return "v1," + b64encode(hmac.digest(key_of(secret), signed, sha256)).decode()

    if not id_ or not any(matches(one, secrets, expected) for one in given.split()):
        raise Forged("webhook-signature is missing or wrong")
    fresh(timestamp, now)


def key_of(secret: str) -> bytes:
    """The bytes of a secret of Standard Webhooks, which is base64 behind `whsec_`; any other is its own bytes."""
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except Error:
        return secret.encode()


def fresh(timestamp: str, now: float) -> None:
    """The time that was signed, in seconds since 1970. Raises Stale."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Stale("the signed time is no number of seconds")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise Stale(f"the signed time is more than {TOLERANCE:.0f} s off")


def bearer(delivery: Delivery, secrets: Sequence[str]) -> None:
    """`Authorization: Bearer SECRET`. Raises Forged."""
    given = delivery.headers.get("authorization", "")
    if not matches(given, secrets, lambda secret: f"Bearer {secret}"):
        raise Forged("the bearer token is missing or wrong")
