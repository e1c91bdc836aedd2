"""What a notifier has still to send, told by the records of `notify-log`: of each case one at a time, in order."""

from bisect import insort
from heapq import heappop, heappush
from math import ceil, inf
from typing import Any, NamedTuple, TypeVar

from npsflow.schemas.notify import DIGEST, Delivery

T = TypeVar("T")

Line = tuple[int, str]
"""A partition and a case: what stands in one line is sent in the order of the events."""


class Thread(NamedTuple):
    """The first message about a case: what the other side calls it, where its event stands, and since when.

    `newest`: since when the event stands of the last that was delivered.
    """

    reference: str
    offset: int
    event_at: int
    newest: int = 0


class Item(NamedTuple):
    """A message to be sent now. `content`: where the event stands that it is made of, its own or one merged into it."""

    partition: int
    delivery: Delivery
    content: int

    @property
    def line(self) -> Line:
        return self.partition, self.delivery.case_id


def believed(delivery: Delivery, of: T, newest: dict[T, int]) -> bool:
    """Whether whoever wrote this record had the partition then: all are to be shown, in their order.

    `newest`: of each partition, since when the latest has it; it is kept here.
    """
    if delivery.owner and delivery.owner < newest.get(of, 0):
        return False
    newest[of] = max(delivery.owner, newest.get(of, 0))
    return True


class Queue:
    """Of one notifier, and the partitions it owns. Times in ms."""

    def __init__(self) -> None:
        self._lines: dict[Line, list[tuple[int, str]]] = {}  # offset and event id, in order
        self._waiting: dict[tuple[int, str], Delivery] = {}  # by partition and event id
        self._merged: dict[tuple[int, str], int] = {}  # into which event, the offset of the newest that was
        self._ahead: dict[int, dict[str, int]] = {}  # of our own records that were not read yet, where they stand
        self._heap: list[tuple[int, Line]] = []  # may hold what has changed since; `take` looks again
        self._taken: set[Line] = set()
        self._last: dict[int, int] = {}
        self._threads: dict[Line, Thread] = {}
        self._put_off: dict[Line, float] = {}  # of taken ones
        self._claimed: dict[int, int] = {}  # since when we have a partition
        self._newest: dict[int, int] = {}  # the same of whoever has it since latest
        self.digested = 0
        """Until when the newest digest goes; 0 if there was none, or its partition is not owned."""

    # Which partitions.

    def own(self, partition: int) -> None:
        """It will be read from its beginning."""
        self.drop(partition)
        self._ahead[partition] = {}

    def drop(self, partition: int) -> None:
        self._ahead.pop(partition, None)
        for numbers in (self._last, self._claimed, self._newest):
            numbers.pop(partition, None)
        tables: tuple[dict[tuple[int, str], Any], ...] = (self._waiting, self._merged, self._lines, self._threads)
        for table in tables:
            for key in [key for key in table if key[0] == partition]:
                del table[key]
        if partition == 0:
            self.digested = 0

    def owns(self, partition: int) -> bool:
        return partition in self._ahead

    def claim(self, partition: int, now: int) -> None:
        """All that was written is known: whoever had it before writes what counts no more."""
        self._claimed[partition] = self._newest[partition] = max(now, self._newest.get(partition, 0) + 1)

    def claimed(self, partition: int) -> int:
        """What our own records carry; 0 where the partition was not claimed."""
        return self._claimed.get(partition, 0)

    def last(self, partition: int) -> int | None:
        """The offset of the newest event of which anything is known; events before it need no second look."""
        return self._last.get(partition)

    # What is known.

    def put(self, partition: int, offset: int, delivery: Delivery, *, ahead: bool = False) -> None:
        """A record: one that was read, or one of our own that is `ahead` of what was read."""
        own = self._ahead.get(partition)
        if own is None:
            return
        if ahead:
            own[delivery.event_id] = offset
        elif offset <= (known := own.get(delivery.event_id, -1)):
            if offset == known:
                del own[delivery.event_id]
            return
        elif not believed(delivery, partition, self._newest):
            return
        if delivery.event_id.startswith(DIGEST):
            self.digested = max(self.digested, delivery.event_at)
        else:
            self._last[partition] = max(delivery.offset, self._last.get(partition, 0))
        self._remove(partition, delivery)
        if delivery.state == "waiting":
            self._add(partition, delivery)
        elif delivery.state == "delivered":
            line = partition, delivery.case_id
            first = self._threads.pop(line, None) or Thread(delivery.reference, delivery.offset, delivery.event_at)
            # At the end: what was not heard of for longest stands at the beginning.
            self._threads[line] = first._replace(newest=max(first.newest, delivery.event_at))
        elif delivery.state == "merged":
            into = partition, delivery.reference
            self._merged[into] = max(delivery.offset, self._merged.get(into, 0))
            self._wake((partition, delivery.case_id))

    def _add(self, partition: int, delivery: Delivery) -> None:
        line = partition, delivery.case_id
        self._waiting[partition, delivery.event_id] = delivery
        insort(self._lines.setdefault(line, []), (delivery.offset, delivery.event_id))
        self._wake(line)

    def _remove(self, partition: int, delivery: Delivery) -> None:
        if self._waiting.pop((partition, delivery.event_id), None) is not None:
            line = partition, delivery.case_id
            self._lines[line].remove((delivery.offset, delivery.event_id))
            if not self._lines[line]:
                del self._lines[line]
            self._wake(line)
        if delivery.state != "waiting":
            self._merged.pop((partition, delivery.event_id), None)

    # What is due.

    def take(self, now: int) -> Item | None:
        """The line that is due for longest; nothing more of it is given until it is released."""
        while self._heap and self._heap[0][0] <= now:
            at, line = heappop(self._heap)
            head = self._head(line)
            if head is None or line in self._taken:
                continue
            if self._due(line[0], head) > at:
                self._wake(line)  # it was put off
                continue
            self._taken.add(line)
            return Item(line[0], head, self._merged.get((line[0], head.event_id), head.offset))
        return None

    def release(self, item: Item) -> None:
        """What still stands in its line is given when its time comes."""
        self._taken.discard(item.line)
        self._wake(item.line, self._put_off.pop(item.line, 0.0))

    def put_off(self, item: Item, until: float) -> None:
        """Once released it is not given before then, in seconds, unless something becomes of its line."""
        self._put_off[item.line] = until

    def settling(self, partition: int, case_id: str, now: int) -> Delivery | None:
        """The message of this case that waits for a comment and for nothing else, if there is one."""
        line = partition, case_id
        head = self._head(line)
        if head is None or head.attempts or line in self._taken or len(self._lines[line]) > 1:
            return None
        return head if self._due(partition, head) > now else None

    def thread(self, item: Item) -> str:
        """What the other side calls the first message about this case, "" if there was none."""
        found = self._threads.get(item.line)
        return "" if found is None else found.reference

    def threads(self) -> list[tuple[Line, Thread]]:
        """Of all cases."""
        return [(line, thread) for line, thread in self._threads.items() if thread.offset >= 0]

    def forget(self, before: int) -> None:
        """The threads of cases about which nothing was delivered whose event came since then."""
        while self._threads:
            line, thread = next(iter(self._threads.items()))
            if thread.newest >= before:
                return
            del self._threads[line]

    def pending(self) -> int:
        """How many messages."""
        return len(self._waiting)

    def oldest(self) -> int | None:
        """When the oldest event came of those not sent; None if there is none."""
        return min((delivery.event_at for delivery in self._waiting.values()), default=None)

    def _head(self, line: Line) -> Delivery | None:
        found = self._lines.get(line)
        return self._waiting[line[0], found[0][1]] if found else None

    def _due(self, partition: int, delivery: Delivery) -> int:
        """What the comment has come to need not wait for it any more."""
        return 0 if (partition, delivery.event_id) in self._merged and not delivery.attempts else delivery.not_before

    def _wake(self, line: Line, not_before: float = 0.0) -> None:
        head = self._head(line)
        if head is not None and not_before < inf:
            heappush(self._heap, (max(self._due(line[0], head), ceil(not_before * 1000)), line))
