"""Values of `customer-keys`: what personal texts of a customer are sealed with. No contract for others."""

from collections.abc import Callable

import msgspec
from msgspec import Struct


class StoredKey(Struct, frozen=True, omit_defaults=True):
    """`secret`: 64 bytes of AES-SIV; wrapped where `wrapped_by` names the secret of ours that it is wrapped by."""

    secret: bytes
    wrapped_by: str = ""

    def __repr__(self) -> str:
        return f"StoredKey(…, {self.wrapped_by!r})"


decode_key: Callable[[bytes], StoredKey] = msgspec.json.Decoder(StoredKey).decode
"""Raises msgspec.MsgspecError."""


def record_key(customer: str, key_id: str) -> bytes:
    """The Kafka key of a key; a customer may have several. What belongs to no customer has an empty one."""
    return f"{customer}#{key_id}".encode()


def parse_record_key(key: bytes) -> tuple[str, str]:
    """Customer and id of a key."""
    customer, _, key_id = key.decode(errors="replace").rpartition("#")
    return customer, key_id
