"""AES-SIV (RFC 5297) on texts and on keys: the same text under the same key gives the same token, so that what is sent
twice stays equal.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from npsflow.schemas.customer_keys import StoredKey
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.sealed import KEY_ID, MARK

VARIABLE = "NPSFLOW_SECRET_KEYS"
"""The environment variable of the secret that wraps keys, so that what is on Kafka alone opens nothing.

NPSFLOW_SECRET_KEYS_NEXT is what replaces it, and wraps from then on.
"""

_SECRET = 64  # bytes: AES-256 for the tag and AES-256 for the content
_SHORTEST = 32  # characters of a secret that wraps


class NotOpened(ValueError):
    """The content was not sealed with this key."""


def new_secret() -> bytes:
    """A secret for a new key."""
    return secrets.token_bytes(_SECRET)


def new_key_id() -> str:
    """An id that no other key has: 12 random bytes."""
    return urlsafe_b64encode(secrets.token_bytes(KEY_ID * 3 // 4)).decode()


def seal(text: bytes, key_id: str, secret: bytes) -> str:
    """The token of a text; the text is not empty."""
    return f"{MARK}{key_id}:{urlsafe_b64encode(_cipher(secret).encrypt(text, None)).rstrip(b'=').decode()}"


def open_content(content: str | bytes, secret: bytes) -> bytes:
    """The text of a token, of which this is the last part. Raises NotOpened."""
    padded = content + ("=" if isinstance(content, str) else b"=") * (-len(content) % 4)  # type: ignore[operator]
    try:
        return _cipher(secret).decrypt(urlsafe_b64decode(padded), None)
    except (InvalidTag, ValueError):
        raise NotOpened from None


_cipher = lru_cache(4096)(AESSIV)  # to make one takes longer than to seal a text


class Wrapping:
    """Wraps keys in the newest of these secrets, and unwraps what any of them has wrapped; without one they stay bare.

    Raises SettingsError for a secret that could be guessed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        if any(len(text) < _SHORTEST for text in texts):
            raise SettingsError(
                f"{VARIABLE} is shorter than {_SHORTEST} characters: `openssl rand -base64 48` makes one"
            )
        made = [blake2b(text.encode(), digest_size=_SECRET, person=b"npsflow keys").digest() for text in texts]
        self._by_name = {blake2b(secret, digest_size=4).hexdigest(): AESSIV(secret) for secret in made}

    @property
    def newest(self) -> str:
        """What keys name that are wrapped now, "" if none are."""
        return next(reversed(self._by_name), "")

    def wrap(self, secret: bytes, record_key: bytes) -> StoredKey:
        """The value of a key; it cannot be moved to another record."""
        name = self.newest
        if not name:
            return StoredKey(secret)
        return StoredKey(self._by_name[name].encrypt(secret, [record_key]), name)

    def unwrap(self, stored: StoredKey, record_key: bytes) -> bytes | None:
        """The secret; None if it is wrapped by a secret that is not here, or not wrapped by it for this record."""
        if not stored.wrapped_by:
            return stored.secret
        if (wrapper := self._by_name.get(stored.wrapped_by)) is None:
            return None
        try:
            return wrapper.decrypt(stored.secret, [record_key])
        except InvalidTag:
            return None
