"""Between intake and fetch: an event that has no score, whose response has to be asked for. No contract for others."""

from collections.abc import Callable

import msgspec
from msgspec import Struct


class Fetch(Struct, frozen=True, omit_defaults=True):
    """What stands under one key of `survey-fetches` until the response has been written; then a tombstone.

    `ids`: as the platform names what it is about. `asked_at`: when the event came, `not_before`: when it is tried
    next, both in ms. `attempts`: how often it was tried in vain.
    """

    entrance: str
    event_id: str
    ids: dict[str, str]
    asked_at: int
    attempts: int = 0
    not_before: int = 0

    def key(self) -> bytes:
        """Of its own for every event: a tombstone must not hide that the response has changed once more."""
        return f"{self.entrance}/{self.event_id}".encode()


decode_fetch: Callable[[bytes], Fetch] = msgspec.json.Decoder(Fetch).decode
"""Raises msgspec.MsgspecError."""
