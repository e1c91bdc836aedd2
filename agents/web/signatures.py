"""Secrets and signatures, which are compared in constant time, on raw bytes."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Sequence


def matches(given: str, secrets: Sequence[str], expected: Callable[[str], str]) -> bool:
    """Whether `given` is `expected(secret)` for one of the secrets. All are tried, so that the time shows nothing."""
    results = [hmac.compare_digest(raw(given), expected(secret).encode()) for secret in secrets]
    return any(results)


def raw(header: str) -> bytes:
    """The bytes of a header: aiohttp decodes bytes that are no UTF-8 as lone surrogates."""
    return header.encode(errors="surrogateescape")


def standard_webhook(secret: str, id_: str, stamp: str, body: bytes) -> str:
    """A signature of Standard Webhooks 1.0.0, as in the header `webhook-signature`. `stamp`: seconds, as text."""
    signed = raw(f"{id_}.{stamp}.") + body
    return "v1," + b64encode(hmac.digest(_key_of(secret), signed, "sha256")).decode()


def _key_of(secret: str) -> bytes:
    """Base64 behind `whsec_`; any other secret is its own bytes."""
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except Error:
        return secret.encode()
