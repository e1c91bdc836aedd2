"""How platforms sign their webhooks. A signature is verified before anything of a body is read."""

import hmac
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime

from npsflow.agents.platforms import times
from npsflow.agents.platforms.protocol import Delivery, Forged, Stale
from npsflow.agents.web.signatures import matches, raw, standard_webhook
from npsflow.streams.intake.signature import Signature

TOLERANCE = 300.0
"""Seconds by which a signed time may be off."""


def hmac_base64(secret: str, message: bytes, digest: str = "sha256") -> str:
    """The HMAC of the message, in base64; `digest` is a name that hashlib knows."""
    return b64encode(hmac.digest(secret.encode(), message, digest)).decode()


def standard_webhooks(delivery: Delivery, secrets: Sequence[str], now: float) -> None:
    """Standard Webhooks 1.0.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; there may be several.

    The headers may be named as Svix names them. Raises Forged when no signature holds, Stale when the signed time is
    off.
    """
    name = "webhook" if "webhook-signature" in delivery.headers else "svix"
    id_, timestamp, signatures = (
        delivery.headers.get(f"{name}-{part}", "") for part in ("id", "timestamp", "signature")
    )

    def expected(secret: str) -> str:
        return standard_webhook(secret, id_, timestamp, delivery.body)

    if not id_ or not any(matches(signature, secrets, expected) for signature in signatures.split()):
        raise Forged("webhook-signature is missing or wrong")
    check_seconds(timestamp, now)


def described(delivery: Delivery, scheme: Signature, secrets: Sequence[str], now: float) -> None:
    """An HMAC as the settings describe it. Raises Forged when none holds, Stale when the signed time is off."""
    separator = r"$^" if " " in scheme.prefix else r"\s+" if "," in scheme.prefix else r"[,\s]+"
    given = re.split(separator, delivery.headers.get(scheme.header.lower(), "").strip())
    if scheme.timestamp.endswith("="):
        timestamp = next(
            (item.removeprefix(scheme.timestamp) for item in given if item.startswith(scheme.timestamp)), ""
        )
    else:
        timestamp = delivery.headers.get(scheme.timestamp.lower(), "")
    signed = {
        "body": delivery.body,
        "timestamp": raw(timestamp),
        "id": raw(delivery.headers.get(scheme.id.lower(), "")),
        "method": b"POST",
        "url": scheme.url.encode(),
    }
    message = b"".join(signed[part] if is_name else part.encode() for part, is_name in scheme.parts())
    signatures = [item.removeprefix(scheme.prefix) for item in given if item.startswith(scheme.prefix)]

    def expected(secret: str) -> str:
        return _written(hmac.digest(secret.encode(), message, scheme.digest), scheme)

    if not any(matches(_comparable(signature, scheme), secrets, expected) for signature in signatures):
        raise Forged(f"{scheme.header} is missing or wrong")
    if scheme.timestamp:
        check_time(timestamp, now, scheme.tolerance)


def _written(digest: bytes, scheme: Signature) -> str:
    if scheme.encoding == "hex":
        return digest.hex()
    encode = b64encode if scheme.encoding == "base64" else urlsafe_b64encode
    return encode(digest).decode().rstrip("=")


def _comparable(signature: str, scheme: Signature) -> str:
    """Hex may be in capitals, base64 without padding."""
    return signature.lower() if scheme.encoding == "hex" else signature.rstrip("=")


def check_time(timestamp: str, now: float, tolerance: float = TOLERANCE) -> None:
    """Raises Stale when the signed time, in seconds or milliseconds since 1970 or in ISO 8601, is off."""
    try:
        moment = datetime.fromisoformat(times.TimeFormat().parse(timestamp))
    except times.InvalidTime:
        raise Stale("the signed time is no time") from None
    _check_age(moment.timestamp(), now, tolerance)


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


def _check_age(moment: float, now: float, tolerance: float = TOLERANCE) -> None:
    if abs(now - moment) > tolerance:
        raise Stale(f"the signed time is more than {tolerance:.0f} s off")


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


def basic(delivery: Delivery, secrets: Sequence[str]) -> None:
    """`Authorization: Basic`, where a secret is `USER:PASSWORD` (RFC 7617). Raises Forged."""
    scheme, _, credentials = delivery.headers.get("authorization", "").partition(" ")
    written = matches(credentials.strip(), secrets, lambda secret: b64encode(secret.encode()).decode())
    if scheme.lower() != "basic" or not written:
        raise Forged("the user or the password is missing or wrong")


def in_query(delivery: Delivery, parameter: str, secrets: Sequence[str]) -> None:
    """The secret as it is in this parameter of the address. Raises Forged."""
    _in_address(delivery.query.get(parameter, ""), secrets)


def in_path(delivery: Delivery, secrets: Sequence[str]) -> None:
    """The secret as it is in the address, behind the entrance; slashes around it do not matter. Raises Forged."""
    _in_address(delivery.path, [secret.strip("/") for secret in secrets])


def _in_address(given: str, secrets: Sequence[str]) -> None:
    if not given or not matches(given, secrets, str):
        raise Forged("the secret in the address is missing or wrong")
