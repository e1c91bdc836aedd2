"""The messages a notifier still has to send, rebuilt from the records of `notify-log`: one at a time for each case."""

from bisect import insort
from heapq import heappop, heappush
from itertools import chain
from math import ceil, inf
from typing import NamedTuple

from npsflow.schemas.notify import DIGEST, Backlog, Delivery

OrderingKey = tuple[int, str]
"""A partition and a case. Messages of one key are sent one at a time, in the order of their events."""


DIGEST_PARTITION = 0
"""Whoever owns this partition sends digests."""


class Thread(NamedTuple):
    """The first message about a case: its `reference` at the receiver, and its event's `offset` and `event_at` (ms).

    `last_event_at`: the time (ms) of the newest event about this case that was delivered.
    """

    reference: str
    offset: int
    event_at: int
    last_event_at: int = 0


class Item(NamedTuple):
    """A message to send now. `content_offset`: its event's, or that of the newest event that was merged into it."""

    partition: int
    delivery: Delivery
    content_offset: int

    @property
    def ordering_key(self) -> OrderingKey:
        """What is sent one message at a time."""
        return self.partition, self.delivery.case_id


class Fence:
    """Tells the records of a partition's newest owner from those that an earlier owner wrote late.

    Show it all records of one notifier and partition, in their order. Owners are named by the time (ms) since when they
    have the partition.
    """

    def __init__(self) -> None:
        self._newest = 0

    def admits(self, record: Delivery | Backlog) -> bool:
        """Whether this record counts; records of commands (owner 0) always do."""
        if record.owner and record.owner < self._newest:
            return False
        self._newest = max(record.owner, self._newest)
        return True

    def claim(self, now: int) -> int:
        """Become the newest owner; returns since when."""
        self._newest = max(now, self._newest + 1)
        return self._newest


class _Partition:
    """What the records of one partition say."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.owner_since = 0
        self.newest_offset: int | None = None
        self.backlog: Backlog | None = None
        self.waiting: dict[str, Delivery] = {}  # by event id
        self.cases: dict[str, list[tuple[int, str]]] = {}  # by case: offset and event id of its messages, in order
        self.merged: dict[str, int] = {}  # by event id: the offset of the newest event that was merged into it
        self.hurried: set[str] = set()  # event ids of messages that are due now, whatever their record says
        self.threads: dict[str, Thread] = {}  # by case, the least recently delivered first
        self._written: dict[str, int] = {}  # by event id: the offset of our newest record, until it is read back

    def accepts(self, offset: int, delivery: Delivery, *, written: bool) -> bool:
        if written:
            self._written[delivery.event_id] = offset
            return True
        known = self._written.get(delivery.event_id, -1)
        if offset == known:
            del self._written[delivery.event_id]
        return offset > known and self.fence.admits(delivery)

    def apply(self, delivery: Delivery) -> None:
        self.hurried.discard(delivery.event_id)
        if (before := self.waiting.pop(delivery.event_id, None)) is not None:
            messages = self.cases[before.case_id]
            messages.remove((before.offset, before.event_id))
            if not messages:
                del self.cases[before.case_id]
        if delivery.state == "waiting":
            self.waiting[delivery.event_id] = delivery
            insort(self.cases.setdefault(delivery.case_id, []), (delivery.offset, delivery.event_id))
            return
        self.merged.pop(delivery.event_id, None)
        if delivery.state == "delivered":
            first = self.threads.pop(delivery.case_id, None)
            first = first or Thread(delivery.reference, delivery.offset, delivery.event_at)
            newest = max(first.last_event_at, delivery.event_at)
            self.threads[delivery.case_id] = first._replace(last_event_at=newest)
        elif delivery.state == "merged":
            self.merged[delivery.reference] = max(delivery.offset, self.merged.get(delivery.reference, 0))

    def head(self, case_id: str) -> Delivery | None:
        """The message of this case that comes next."""
        messages = self.cases.get(case_id)
        return self.waiting[messages[0][1]] if messages else None

    def due(self, delivery: Delivery) -> int:
        """When it may be sent. A message that waits for a comment is due at once when the comment is merged into it."""
        commented = delivery.event_id in self.merged and not delivery.attempts
        return 0 if commented or delivery.event_id in self.hurried else delivery.not_before

    def expire_threads(self, before: int) -> None:
        while self.threads:
            case_id, thread = next(iter(self.threads.items()))
            if thread.last_event_at >= before:
                return
            del self.threads[case_id]


class Queue:
    """The messages of one notifier, for the partitions that it owns. Times in ms."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._heap: list[tuple[int, OrderingKey]] = []  # may hold stale entries: `take` checks each
        self._taken: set[OrderingKey] = set()
        self._postponed: dict[OrderingKey, float] = {}  # taken keys: not before this time, in seconds
        self.digested_until = 0
        """The end of the newest digest; 0 if there was none, or its partition is not owned."""

    # Which partitions.

    def assign(self, partition: int) -> None:
        """Own a partition, whose log is read from its beginning."""
        self.revoke(partition)
        self._partitions[partition] = _Partition()

    def revoke(self, partition: int) -> None:
        """Forget all that is known of a partition."""
        self._partitions.pop(partition, None)
        if partition == DIGEST_PARTITION:
            self.digested_until = 0

    def owns(self, partition: int) -> bool:
        """Whether the partition is assigned."""
        return partition in self._partitions

    def claim(self, partition: int, now: int) -> None:
        """Take over once its log is read to the end: later records of earlier owners no longer count."""
        if (state := self._partitions.get(partition)) is not None:
            state.owner_since = state.fence.claim(now)

    def owner_since(self, partition: int) -> int:
        """What goes into `owner` of our own records; 0 if the partition is not claimed."""
        state = self._partitions.get(partition)
        return 0 if state is None else state.owner_since

    def newest_offset(self, partition: int) -> int | None:
        """The offset of the newest event on the log; earlier events are planned already."""
        state = self._partitions.get(partition)
        return None if state is None else state.newest_offset

    # What is known.

    def apply(self, partition: int, offset: int, delivery: Delivery, *, written: bool = False) -> None:
        """Take a record of the log. `written`: we have just written it, and will read it back later."""
        state = self._partitions.get(partition)
        if state is None or not state.accepts(offset, delivery, written=written):
            return
        if delivery.event_id.startswith(DIGEST):
            self.digested_until = max(self.digested_until, delivery.event_at)
        else:
            state.newest_offset = max(delivery.offset, state.newest_offset or 0)
        state.apply(delivery)
        self.wake((partition, delivery.case_id))

    def set_backlog(self, partition: int, backlog: Backlog) -> None:
        """Take a record of the log about what the first start left."""
        state = self._partitions.get(partition)
        if state is not None and state.fence.admits(backlog):
            state.backlog = backlog

    def backlog(self, partition: int) -> Backlog | None:
        """What the first start left in this partition, None if it left nothing there."""
        state = self._partitions.get(partition)
        return None if state is None else state.backlog

    def hurry(self, partition: int, event_id: str = "") -> None:
        """What waits now is due now: the message about this event, or all of the partition."""
        if (state := self._partitions.get(partition)) is None:
            return
        for delivery in [one for one in state.waiting.values() if event_id in ("", one.event_id)]:
            state.hurried.add(delivery.event_id)
            self.wake((partition, delivery.case_id))

    # What is due.

    def take(self, now: int) -> Item | None:
        """The message that is due the longest, None if none is due. Its ordering key is locked until `release`."""
        while self._heap and self._heap[0][0] <= now:
            at, key = heappop(self._heap)
            if key in self._taken or (known := self._head(key)) is None:
                continue
            state, head = known
            if state.due(head) > at:
                self.wake(key)  # it has to wait longer since this entry was made
                continue
            self._taken.add(key)
            return Item(key[0], head, state.merged.get(head.event_id, head.offset))
        return None

    def release(self, item: Item) -> None:
        """Unlock its ordering key."""
        self._taken.discard(item.ordering_key)
        self.wake(item.ordering_key, self._postponed.pop(item.ordering_key, 0.0))

    def postpone(self, item: Item, until: float) -> None:
        """Do not give it out before `until` (seconds) after its release, unless a new record of its case comes."""
        self._postponed[item.ordering_key] = until

    def wake(self, key: OrderingKey, not_before: float = 0.0) -> bool:
        """Give it out when it is due, not before a time (seconds). False if nothing waits under this key."""
        known = self._head(key)
        if known is not None and not_before < inf:
            state, head = known
            heappush(self._heap, (max(state.due(head), ceil(not_before * 1000)), key))
        return known is not None

    def hasten(self, key: OrderingKey) -> None:
        """Its message is due now: what its record waits for is over."""
        if (known := self._head(key)) is not None:
            state, head = known
            state.hurried.add(head.event_id)
            self.wake(key)

    def next_due(self) -> int | None:
        """When to `take` next, at the earliest; None if nothing waits."""
        return self._heap[0][0] if self._heap else None

    def find_settling(self, partition: int, case_id: str, now: int) -> Delivery | None:
        """The message of this case that waits for a comment only, None if there is none."""
        key = partition, case_id
        if key in self._taken or (known := self._head(key)) is None:
            return None
        state, head = known
        alone = not head.attempts and len(state.cases[case_id]) == 1
        return head if alone and state.due(head) > now else None

    def thread_reference(self, item: Item) -> str:
        """What the receiver calls the first message about this case, "" if there was none."""
        state = self._partitions.get(item.partition)
        thread = state.threads.get(item.delivery.case_id) if state is not None else None
        return "" if thread is None else thread.reference

    def threads(self) -> list[tuple[OrderingKey, Thread]]:
        """The threads of all cases; digests have none."""
        return [
            ((partition, case_id), thread)
            for partition, state in self._partitions.items()
            for case_id, thread in state.threads.items()
            if thread.offset >= 0
        ]

    def expire_threads(self, before: int) -> None:
        """Drop the threads of cases whose newest delivered event is older than `before`."""
        for state in self._partitions.values():
            state.expire_threads(before)

    def waiting_count(self) -> int:
        """The number of messages that are not sent yet."""
        return sum(len(state.waiting) for state in self._partitions.values())

    def oldest_event_at(self) -> int | None:
        """The time of the oldest event whose message is not sent yet, None if there is none."""
        waiting = chain.from_iterable(state.waiting.values() for state in self._partitions.values())
        return min((delivery.event_at for delivery in waiting), default=None)

    def _head(self, key: OrderingKey) -> tuple[_Partition, Delivery] | None:
        """The message of this key that comes next, with its partition; None if there is none."""
        state = self._partitions.get(key[0])
        head = state.head(key[1]) if state is not None else None
        return None if state is None or head is None else (state, head)
