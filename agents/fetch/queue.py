"""The queue of fetches, told by the records of its compacted topic: what stands without a tombstone is pending."""

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from npsflow.schemas.fetch import Fetch

About = tuple[str, tuple[tuple[str, str], ...]]
"""An entrance and ids: which response an event is about."""


class Event(NamedTuple):
    """One record that stands."""

    partition: int
    offset: int
    key: bytes
    fetch: Fetch


class Due(NamedTuple):
    """A response to be fetched now, for all events of it that were pending when it was taken."""

    about: About
    events: tuple[Event, ...]

    @property
    def fetch(self) -> Fetch:
        return self.events[0].fetch

    @property
    def attempts(self) -> int:
        return max(event.fetch.attempts for event in self.events)


class Queue:
    """Of the partitions that are owned. Times in ms."""

    def __init__(self) -> None:
        self._offsets: dict[int, dict[bytes, tuple[int, About | None]]] = {}  # the newest record known of each key
        self._pending: dict[About, dict[tuple[int, bytes], Event]] = {}
        self._heaps: dict[str, list[tuple[int, About]]] = {}  # may hold what has changed since; `take` looks again
        self._taken: set[About] = set()
        self._count: Counter[str] = Counter()

    def own(self, partition: int) -> None:
        """It will be read from its beginning."""
        self.drop(partition)
        self._offsets[partition] = {}

    def drop(self, partition: int) -> None:
        for key, (_, about) in self._offsets.pop(partition, {}).items():
            self._forget(about, partition, key)

    def put(self, partition: int, offset: int, key: bytes, fetch: Fetch | None, *, ahead: bool = False) -> None:
        """A record: one that was read, or one of our own that is `ahead` of what was read. None is a tombstone."""
        known = self._offsets.get(partition)
        if known is None:
            return
        at, was = known.get(key, (-1, None))
        if offset < at:
            return
        self._forget(was, partition, key)
        about = None if fetch is None else (fetch.entrance, tuple(sorted(fetch.ids.items())))
        known[key] = (offset, about)
        if fetch is not None and about is not None:
            self._pending.setdefault(about, {})[partition, key] = Event(partition, offset, key, fetch)
            self._count[fetch.entrance] += 1
            heappush(self._heaps.setdefault(fetch.entrance, []), (fetch.not_before, about))
        elif not ahead:
            del known[key]

    def take(self, entrance: str, now: int) -> Due | None:
        """The response that is due for longest; it is not given again until it is released."""
        heap = self._heaps.get(entrance, [])
        while heap and heap[0][0] <= now:
            known, about = heappop(heap)
            events = self._pending.get(about, {}).values()
            if events and about not in self._taken and min(event.fetch.not_before for event in events) <= known:
                self._taken.add(about)
                return Due(about, tuple(events))
        return None

    def release(self, due: Due) -> None:
        """What still stands of it is given again when its time comes."""
        self._taken.discard(due.about)
        for event in self._pending.get(due.about, {}).values():
            heappush(self._heaps[event.fetch.entrance], (event.fetch.not_before, due.about))

    def pending(self, entrance: str) -> int:
        """How many events."""
        return self._count[entrance]

    def oldest(self, entrance: str) -> int | None:
        """When the oldest of them came; None if there is none."""
        return min((event.fetch.asked_at for event in self._events() if event.fetch.entrance == entrance), default=None)

    def entrances(self) -> list[str]:
        """Those of which anything is pending."""
        return [name for name, count in self._count.items() if count]

    def _events(self) -> Iterator[Event]:
        return (event for events in self._pending.values() for event in events.values())

    def _forget(self, about: About | None, partition: int, key: bytes) -> None:
        if about is None:
            return
        del self._pending[about][partition, key]
        if not self._pending[about]:
            del self._pending[about]
        self._count[about[0]] -= 1
