"""Where a task keeps what it remembers: one small interface, in memory for now."""

from collections import defaultdict
from typing import Protocol

from npsflow.schemas.times import HOUR
from npsflow.streams.classify.stored import submitted_of


class Store(Protocol):
    """Packed responses by their 16-byte id."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, packed: bytes, submitted: int) -> None: ...

    def expire(self, before: int) -> None:
        """Forget what was submitted before this time, in ms; what lies in the same hour may stay."""

    def __len__(self) -> int: ...


class MemoryStore:
    """A dict of bytes (nothing for the garbage collector to walk) and a list of keys for each hour submitted."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._by_hour: defaultdict[int, list[bytes]] = defaultdict(list)
        self.get = self._packed.get
        self._expired_to = -(1 << 62)

    def put(self, key: bytes, packed: bytes, submitted: int) -> None:
        self._packed[key] = packed
        self._by_hour[submitted // HOUR].append(key)

    def expire(self, before: int) -> None:
        if before // HOUR <= self._expired_to:
            return
        self._expired_to = before // HOUR
        for hour in sorted(h for h in self._by_hour if h < self._expired_to):
            for key in self._by_hour.pop(hour):
                packed = self._packed.get(key)
                # A correction may have moved it to another hour: then that hour's list holds it too.
                if packed is not None and submitted_of(packed) // HOUR == hour:
                    del self._packed[key]

    def __len__(self) -> int:
        return len(self._packed)
