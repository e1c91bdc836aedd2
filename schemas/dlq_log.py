"""What stands on `dlq-log`: which dead letters were replayed, and up to where dead letters were accepted.

A record of a letter has its id as key; one of an acceptance `accepted/` and the partition of `survey-responses`. They
name letters by their place and hold nothing of them. It is a topic of its own: others read `survey-responses-dlq` for
what was refused, and Kafka forgets the offsets of a group at rest after a week.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct


class DlqLogEntry(Struct, frozen=True, omit_defaults=True):
    """`at`: when it was done, RFC 3339. `before`: of an acceptance, the first offset that it does not cover."""

    at: str
    before: int = 0


decode_entry: Callable[[bytes], DlqLogEntry] = msgspec.json.Decoder(DlqLogEntry).decode
"""Raises msgspec.MsgspecError."""

_ACCEPTED = b"accepted/"


def accepted_key(partition: int) -> bytes:
    """The key of an acceptance."""
    return _ACCEPTED + b"%d" % partition


def accepted_partition(key: bytes) -> int | None:
    """The partition of an acceptance; None for the key of a letter."""
    return int(key.removeprefix(_ACCEPTED)) if key.startswith(_ACCEPTED) else None
