"""Secrets and signatures: those that come in are compared in constant time, on the raw bytes."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Sequence


def matches(given: str, secrets: Sequence[str], expected: Callable[[str], str]) -> bool:
    """Whether `given` is what one of the secrets gives; every one is tried, so that time tells nothing."""
    found = [hmac.compare_digest(raw(given), expected(secret).encode()) for secret in secrets]
    return any(found)


def raw(header: str) -> bytes:
    """A header as it came: what of it is no UTF-8 stands in the text as halves of characters."""
    return header.encode(errors="surrogateescape")


def standard_webhook(secret: str, id_: str, stamp: str, body: bytes) -> str:
    """One signature of Standard Webhooks 1.0.0, as it stands in the header."""
    signed = raw(f"{id_}.{stamp}.") + body
    return "v1," + b64encode(hmac.digest(_key_of(secret), signed, "sha256")).decode()


def _key_of(secret: str) -> bytes:
    """Such a secret is base64 behind `whsec_`; any other is its own bytes."""
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except Error:
        return secret.encode()
