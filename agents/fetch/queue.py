"""The queue of fetches, a view of its compacted topic: an event is pending until its key has a tombstone."""

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from npsflow.schemas.fetch import Fetch

ResponseId = tuple[str, tuple[tuple[str, str], ...]]
"""An entrance, and the ids of the response that an event is about."""


class PendingEvent(NamedTuple):
    """The newest record of a key, which is no tombstone."""

    partition: int
    offset: int
    key: bytes
    fetch: Fetch


class Due(NamedTuple):
    """A response to be fetched now, for all events about it that were pending when it was taken."""

    response: ResponseId
    events: tuple[PendingEvent, ...]

    @property
    def fetch(self) -> Fetch:
        """Of the first event: all have the same entrance and ids."""
        return self.events[0].fetch

    @property
    def attempts(self) -> int:
        """Failed ones, of the event that has most."""
        return max(event.fetch.attempts for event in self.events)


class Queue:
    """What is pending in the partitions that are assigned. Times in ms."""

    def __init__(self) -> None:
        self._newest: dict[int, dict[bytes, tuple[int, ResponseId | None]]] = {}  # offset and response of each key
        self._pending: dict[ResponseId, dict[tuple[int, bytes], PendingEvent]] = {}
        self._heaps: dict[str, list[tuple[int, ResponseId]]] = {}  # some entries are outdated: `take` skips them
        self._taken: set[ResponseId] = set()
        self._count: Counter[str] = Counter()

    def assign(self, partition: int) -> None:
        """Forget what is known of it: it is read from its beginning."""
        self.revoke(partition)
        self._newest[partition] = {}

    def revoke(self, partition: int) -> None:
        """Forget it; its records are ignored until it is assigned again."""
        for key, (_, response) in self._newest.pop(partition, {}).items():
            self._remove(response, partition, key)

    def put(self, partition: int, offset: int, key: bytes, fetch: Fetch | None, *, ahead: bool = False) -> None:
        """Apply a record that was read, or one of our own that is `ahead` of reading. None is a tombstone."""
        newest = self._newest.get(partition)
        if newest is None:
            return
        at, before = newest.get(key, (-1, None))
        if offset < at:
            return
        self._remove(before, partition, key)
        response = None if fetch is None else (fetch.entrance, tuple(sorted(fetch.ids.items())))
        newest[key] = (offset, response)
        if fetch is not None and response is not None:
            self._pending.setdefault(response, {})[partition, key] = PendingEvent(partition, offset, key, fetch)
            self._count[fetch.entrance] += 1
            heappush(self._heaps.setdefault(fetch.entrance, []), (fetch.not_before, response))
        elif not ahead:
            del newest[key]

    def take(self, entrance: str, now: int) -> Due | None:
        """The response that is due for longest, None if none is; it is not returned again until it is released."""
        heap = self._heaps.get(entrance, [])
        while heap and heap[0][0] <= now:
            since, response = heappop(heap)
            events = self._pending.get(response, {}).values()
            if events and response not in self._taken and min(event.fetch.not_before for event in events) <= since:
                self._taken.add(response)
                return Due(response, tuple(events))
        return None

    def release(self, due: Due) -> None:
        """What is still pending of it is due again in its time."""
        self._taken.discard(due.response)
        for event in self._pending.get(due.response, {}).values():
            heappush(self._heaps[event.fetch.entrance], (event.fetch.not_before, due.response))

    def pending(self, entrance: str) -> int:
        """The count of pending events."""
        return self._count[entrance]

    def oldest(self, entrance: str) -> int | None:
        """When the oldest pending event came, None if there is none."""
        return min((event.fetch.asked_at for event in self._events() if event.fetch.entrance == entrance), default=None)

    def entrances(self) -> list[str]:
        """Those with pending events."""
        return [name for name, count in self._count.items() if count]

    def _events(self) -> Iterator[PendingEvent]:
        return (event for events in self._pending.values() for event in events.values())

    def _remove(self, response: ResponseId | None, partition: int, key: bytes) -> None:
        if response is None:
            return
        del self._pending[response][partition, key]
        if not self._pending[response]:
            del self._pending[response]
        self._count[response[0]] -= 1
