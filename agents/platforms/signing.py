"""How platforms sign their webhooks, looked at before anything of a body is read."""

import hmac
from base64 import b64encode
from collections.abc import Sequence

from npsflow.agents.intake.delivery import Delivery, Forged, Stale
from npsflow.agents.platforms import times
from npsflow.agents.web.signatures import matches, standard_webhook

TOLERANCE = 300.0
"""Seconds that a signed time may be off."""


def hmac_base64(secret: str, message: bytes, digest: str = "sha256") -> str:
    return b64encode(hmac.digest(secret.encode(), message, digest)).decode()


def standard_webhooks(delivery: Delivery, secrets: Sequence[str], now: float) -> None:
    """Standard Webhooks 1.0.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; several may be given."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, timestamp, given = (delivery.headers.get(name, "") for name in names)

    def expected(secret: str) -> str:
        return standard_webhook(secret, id_, timestamp, delivery.body)

    if not id_ or not any(matches(one, secrets, expected) for one in given.split()):
        raise Forged("webhook-signature is missing or wrong")
    fresh(timestamp, now)


def fresh(timestamp: str, now: float) -> None:
    """The time that was signed, in seconds since 1970. Raises Stale."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        raise Stale("the signed time is no number of seconds")
    _near(int(timestamp), now)


def fresh_iso(timestamp: str, now: float) -> None:
    """The same for a time that was signed as ISO 8601. Raises Stale."""
    moment = times.parsed(timestamp)
    if moment is None:
        raise Stale("the signed time is no ISO time")
    _near(moment.timestamp(), now)


def _near(moment: float, now: float) -> None:
    if abs(now - moment) > TOLERANCE:
        raise Stale(f"the signed time is more than {TOLERANCE:.0f} s off")


def bearer(delivery: Delivery, secrets: Sequence[str]) -> None:
    """`Authorization: Bearer SECRET`. Raises Forged."""
    given = delivery.headers.get("authorization", "")
    if not matches(given, secrets, lambda secret: f"Bearer {secret}"):
        raise Forged("the bearer token is missing or wrong")


def static(delivery: Delivery, header: str, secrets: Sequence[str]) -> None:
    """The secret as it is in the header of that name; a bearer token where none is named. Raises Forged."""
    if not header:
        bearer(delivery, secrets)
    elif not matches(delivery.headers.get(header.lower(), ""), secrets, str):
        raise Forged("the header that carries the secret is missing or wrong")
