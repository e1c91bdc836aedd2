"""The queue against a model that looks at all records each time."""

from dataclasses import dataclass, field
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from npsflow.schemas.notify import Delivery, State
from npsflow.streams.notify.queue import Item, OrderingKey, Queue

PARTITIONS = (0, 1)


def delivery(number: int, state: State = "waiting", at: int = 0, attempts: int = 0, reference: str = "") -> Delivery:
    """Events 0, 3 and 6 are of one case, and so on."""
    return Delivery(
        notifier="desk",
        event_id=f"e{number}",
        state=state,
        case_id=f"case-{number % 3}",
        offset=number,
        event_at=number,
        at=0,
        attempts=attempts,
        not_before=at,
        reference=reference,
    )


numbers = st.integers(0, 5)
partitions = st.sampled_from(PARTITIONS)


@dataclass
class Model:
    """Every record of every owned partition, in order; what is written ahead of reading counts as read."""

    log: dict[int, dict[int, Delivery]] = field(default_factory=dict)
    taken: set[OrderingKey] = field(default_factory=set)

    def last(self, partition: int) -> dict[str, Delivery]:
        return {one.event_id: one for _, one in sorted(self.log[partition].items())}

    def waiting(self) -> list[tuple[int, Delivery]]:
        return [(p, one) for p in self.log for one in self.last(p).values() if one.state == "waiting"]

    def content_offset(self, partition: int, head: Delivery) -> int:
        """That of the newest event merged into it since it was last settled, else its own."""
        offset = head.offset
        for _, one in sorted(self.log[partition].items()):
            if one.event_id == head.event_id and one.state != "waiting":
                offset = head.offset
            elif one.state == "merged" and one.reference == head.event_id:
                offset = max(one.offset, offset) if offset != head.offset else one.offset
        return offset

    def heads(self) -> dict[OrderingKey, tuple[int, Delivery]]:
        """The first message of each key, and since when it is due."""
        heads: dict[OrderingKey, tuple[int, Delivery]] = {}
        for partition, one in sorted(self.waiting(), key=lambda pair: pair[1].offset):
            merged = self.content_offset(partition, one) != one.offset
            due = 0 if merged and not one.attempts else one.not_before
            heads.setdefault((partition, one.case_id), (due, one))
        return heads


class QueueAgainstModel(RuleBasedStateMachine):
    """Two partitions of the log: others write to them, as does the owner of the queue, who reads them later."""

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.model = Queue(), Model()
        self.topic: dict[int, list[Delivery]] = {partition: [] for partition in PARTITIONS}
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.foreign = dict.fromkeys(PARTITIONS, 0)  # behind the last record that is not ours
        self.items: list[Item] = []
        for partition in PARTITIONS:
            self.queue.assign(partition)
            self.model.log[partition] = {}

    def append(self, partition: int, one: Delivery) -> None:
        self.topic[partition].append(one)
        self.foreign[partition] = len(self.topic[partition])

    @rule(partition=partitions, number=numbers, at=st.integers(0, 9), attempts=st.integers(0, 2))
    def wait(self, partition: int, number: int, at: int, attempts: int) -> None:
        self.append(partition, delivery(number, at=at, attempts=attempts))

    @rule(partition=partitions, number=numbers, state=st.sampled_from(["delivered", "given_up"]))
    def settle(self, partition: int, number: int, state: State) -> None:
        self.append(partition, delivery(number, state, reference=f"r{number}"))

    @rule(partition=partitions, number=numbers)
    def merge(self, partition: int, number: int) -> None:
        self.append(partition, delivery(number + 3, "merged", reference=f"e{number}"))

    @rule(partition=partitions, count=st.integers(1, 9))
    def read(self, partition: int, count: int) -> None:
        topic, begin = self.topic[partition], self.position[partition]
        for offset in range(begin, min(begin + count, len(topic))):
            self.queue.apply(partition, offset, topic[offset])
            self.model.log[partition][offset] = topic[offset]
            self.position[partition] = offset + 1

    @rule(partition=partitions, number=numbers, at=st.integers(0, 9))
    def write(self, partition: int, number: int, at: int) -> None:
        """The owner has read what others wrote before."""
        self.read(partition, self.foreign[partition] - self.position[partition])
        state: State = ("waiting", "waiting", "delivered", "merged")[at % 4]
        one = delivery(number, state, at, 1, f"e{number}")
        if state == "merged":
            one = delivery(number + 3, "merged", reference=f"e{number}")
        self.topic[partition].append(one)
        offset = len(self.topic[partition]) - 1
        self.queue.apply(partition, offset, one, written=True)
        self.model.log[partition][offset] = one

    @rule(now=st.integers(0, 9))
    def take(self, now: int) -> None:
        heads = self.model.heads()
        due = {key: at for key, (at, _) in heads.items() if at <= now and key not in self.model.taken}
        item = self.queue.take(now)
        assert (item is None) == (not due)
        if item is not None:
            assert due[item.ordering_key] == min(due.values())
            assert item.delivery == heads[item.ordering_key][1]
            assert item.content_offset == self.model.content_offset(item.partition, item.delivery)
            self.model.taken.add(item.ordering_key)
            self.items.append(item)

    @precondition(lambda self: self.items)
    @rule()
    def release(self) -> None:
        item = self.items.pop(0)
        self.queue.release(item)
        self.model.taken.discard(item.ordering_key)

    @rule(partition=partitions)
    def assign(self, partition: int) -> None:
        """It was lost, and is read again from its beginning."""
        self.queue.assign(partition)
        self.model.log[partition], self.position[partition] = {}, 0
        self.foreign[partition] = len(self.topic[partition])

    @invariant()
    def knows_what_waits(self) -> None:
        waiting = self.model.waiting()
        assert self.queue.waiting_count() == len(waiting)
        assert self.queue.oldest_event_at() == min((one.event_at for _, one in waiting), default=None)
        for p in PARTITIONS:
            assert self.queue.newest_offset(p) == max((one.offset for one in self.model.log[p].values()), default=None)


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_messages_of_a_case_come_in_order() -> None:
    queue = Queue()
    queue.assign(0)
    queue.apply(0, 0, delivery(3))
    queue.apply(0, 1, delivery(0, at=50))
    queue.apply(0, 2, delivery(1, at=60))
    assert queue.take(49) is None
    first = queue.take(55)
    assert first is not None
    assert first.delivery.event_id == "e0"
    assert queue.take(55) is None
    queue.apply(0, 3, delivery(0, "delivered", reference="r0"), written=True)
    assert queue.take(55) is None
    queue.release(first)
    second = queue.take(55)
    assert second is not None
    assert (second.delivery.event_id, queue.thread_reference(second)) == ("e3", "r0")


def test_threads_without_news_expire() -> None:
    """Counted from the newest message of each: a case that goes on keeps its thread."""
    queue = Queue()
    queue.assign(0)
    for offset, number in enumerate((0, 1, 2, 3, 6)):  # 3 and 6 are of the case of 0
        queue.apply(0, offset, delivery(number, "delivered", reference=f"r{number}"))

    def known() -> list[tuple[str, str]]:
        return [(line[1], thread.reference) for line, thread in queue.threads()]

    queue.expire_threads(1)
    assert sorted(known()) == [("case-0", "r0"), ("case-1", "r1"), ("case-2", "r2")]
    queue.expire_threads(2)
    assert sorted(known()) == [("case-0", "r0"), ("case-2", "r2")]
    queue.apply(0, 5, delivery(9))
    item = queue.take(0)
    assert item is not None
    assert queue.thread_reference(item) == "r0"
    queue.expire_threads(6)
    assert known() == [("case-0", "r0")]
    queue.expire_threads(7)
    assert known() == []


def test_a_comment_is_merged_only_while_its_message_waits() -> None:
    queue = Queue()
    queue.assign(0)
    assert queue.find_settling(0, "case-0", 10) is None
    queue.apply(0, 0, delivery(0, at=50))
    assert queue.find_settling(0, "case-0", 50) is None
    assert queue.find_settling(0, "case-0", 49) == delivery(0, at=50)
    queue.apply(0, 1, delivery(3, "merged", reference="e0"))
    assert queue.find_settling(0, "case-0", 49) is None
    item = queue.take(0)
    assert item is not None
    assert (item.delivery.event_id, item.content_offset) == ("e0", 3)


def test_partitions_of_others_are_ignored() -> None:
    queue = Queue()
    queue.apply(0, 0, delivery(1))
    queue.assign(0)
    assert queue.take(99) is None
    queue.apply(0, 0, delivery(1))
    queue.revoke(0)
    assert (queue.take(99), queue.waiting_count(), queue.newest_offset(0)) == (None, 0, None)


def test_our_own_records_are_read_back_without_effect() -> None:
    """Our own records are known as soon as they are written, and are read afterwards."""
    queue = Queue()
    queue.assign(0)
    queue.apply(0, 0, delivery(0))
    queue.apply(0, 1, delivery(0, at=50, attempts=1), written=True)
    queue.apply(0, 2, delivery(0, "delivered"), written=True)
    queue.apply(0, 1, delivery(0, at=50, attempts=1))
    assert queue.waiting_count() == 0
    queue.apply(0, 2, delivery(0, "delivered"))
    queue.apply(0, 3, delivery(0))  # somebody wants it sent again
    assert queue.waiting_count() == 1


def test_nothing_is_merged_after_an_attempt() -> None:
    """It may have been taken as it was: what comes now is told by itself."""
    queue = Queue()
    queue.assign(0)
    queue.apply(0, 0, delivery(0, at=50, attempts=1))
    assert queue.find_settling(0, "case-0", 10) is None


def test_records_of_an_earlier_owner_do_not_count() -> None:
    """What they write late tells of messages that others have settled meanwhile, or will."""
    queue = Queue()
    queue.assign(0)
    queue.apply(0, 0, replace(delivery(0), owner=5))
    queue.claim(0, 3)
    assert queue.owner_since(0) == 6
    queue.apply(0, 1, replace(delivery(0, "delivered"), owner=6), written=True)
    queue.apply(0, 2, replace(delivery(0, at=50, attempts=1), owner=5))  # who had it before goes on
    queue.apply(0, 3, replace(delivery(3), owner=5))
    assert (queue.waiting_count(), queue.newest_offset(0)) == (0, 0)
    queue.apply(0, 4, delivery(0))  # a command
    assert queue.waiting_count() == 1
    again = Queue()
    again.assign(0)
    for offset, one in enumerate([replace(delivery(0, "delivered"), owner=6), replace(delivery(0), owner=5)]):
        again.apply(0, offset, one)
    assert again.waiting_count() == 0
    again.claim(0, 9)
    assert again.owner_since(0) == 9


def test_a_postponed_message_comes_later() -> None:
    queue = Queue()
    queue.assign(0)
    queue.apply(0, 0, delivery(0))
    item = queue.take(0)
    assert item is not None
    queue.postpone(item, 2.0)
    queue.release(item)
    assert queue.take(1999) is None
    item = queue.take(2000)
    assert item is not None
    queue.postpone(item, inf)
    queue.release(item)
    assert queue.take(1 << 60) is None
    assert queue.waiting_count() == 1
