"""The queue against a model that looks at all records each time."""

from dataclasses import dataclass, field
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from npsflow.schemas.notify import Delivery, State
from npsflow.streams.notify.queue import Item, Queue

PARTITIONS = (0, 1)


def delivery(number: int, state: State = "waiting", at: int = 0, attempts: int = 0, reference: str = "") -> Delivery:
    """Events 0, 3 and 6 are of one case, and so on."""
    return Delivery("desk", f"e{number}", state, f"case-{number % 3}", number, number, 0, attempts, at, reference)


@dataclass
class Model:
    """Every record of every owned partition, in order; what is written ahead of reading counts as read."""

    log: dict[int, dict[int, Delivery]] = field(default_factory=dict)
    taken: set[tuple[int, str]] = field(default_factory=set)

    def last(self, partition: int) -> dict[str, Delivery]:
        return {one.event_id: one for _, one in sorted(self.log[partition].items())}

    def waiting(self) -> list[tuple[int, Delivery]]:
        return [(p, one) for p in self.log for one in self.last(p).values() if one.state == "waiting"]

    def content(self, partition: int, head: Delivery) -> int:
        """Where what is told stands: of the newest merged into it since it was last settled."""
        found = head.offset
        for _, one in sorted(self.log[partition].items()):
            if one.event_id == head.event_id and one.state != "waiting":
                found = head.offset
            elif one.state == "merged" and one.reference == head.event_id:
                found = max(one.offset, found) if found != head.offset else one.offset
        return found

    def heads(self) -> dict[tuple[int, str], tuple[int, Delivery]]:
        """By line: since when its first is due."""
        found: dict[tuple[int, str], tuple[int, Delivery]] = {}
        for partition, one in sorted(self.waiting(), key=lambda pair: pair[1].offset):
            merged = self.content(partition, one) != one.offset
            due = 0 if merged and not one.attempts else one.not_before
            found.setdefault((partition, one.case_id), (due, one))
        return found


numbers = st.integers(0, 5)
partitions = st.sampled_from(PARTITIONS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), partitions, numbers, st.integers(0, 9), st.integers(0, 2)),
        st.tuples(st.just("settle"), partitions, numbers, st.sampled_from(["delivered", "given_up"])),
        st.tuples(st.just("merge"), partitions, numbers),
        st.tuples(st.just("ahead"), partitions, numbers, st.integers(0, 9)),
        st.tuples(st.just("read"), partitions, st.integers(1, 9)),
        st.tuples(st.just("take"), st.integers(0, 9)),
        st.tuples(st.just("release")),
        st.tuples(st.just("lose"), partitions),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=1_000, deadline=None)
@given(steps)
def test_it_is_what_the_records_say(steps: list[tuple[object, ...]]) -> None:
    queue, model = Queue(), Model()
    topic: dict[int, list[Delivery]] = {partition: [] for partition in PARTITIONS}
    position = dict.fromkeys(PARTITIONS, 0)
    foreign = dict.fromkeys(PARTITIONS, 0)  # behind the last record that is not ours
    taken: list[Item] = []
    for partition in PARTITIONS:
        queue.own(partition)
        model.log[partition] = {}

    def read(p: int, count: int) -> None:
        for offset in range(position[p], min(position[p] + count, len(topic[p]))):
            queue.put(p, offset, topic[p][offset])
            model.log[p][offset] = topic[p][offset]
            position[p] = offset + 1

    for step in steps:
        match step:
            case ("write", int(p), int(number), int(at), int(attempts)):
                topic[p].append(delivery(number, at=at, attempts=attempts))
                foreign[p] = len(topic[p])
            case ("settle", int(p), int(number), "delivered" | "given_up" as end):
                topic[p].append(delivery(number, end, reference=f"r{number}"))
                foreign[p] = len(topic[p])
            case ("merge", int(p), int(number)):
                topic[p].append(delivery(number + 3, "merged", reference=f"e{number}"))
                foreign[p] = len(topic[p])
            case ("ahead", int(p), int(number), int(at)):
                read(p, foreign[p] - position[p])  # who writes has read what others wrote
                state: State = ("waiting", "waiting", "delivered", "merged")[at % 4]
                made = delivery(number, state, at, 1, f"e{number}")
                topic[p].append(delivery(number + 3, "merged", reference=f"e{number}") if state == "merged" else made)
                queue.put(p, len(topic[p]) - 1, topic[p][-1], ahead=True)
                model.log[p][len(topic[p]) - 1] = topic[p][-1]
            case ("read", int(p), int(count)):
                read(p, count)
            case ("take", int(now)):
                heads = model.heads()
                due = {line: at for line, (at, _) in heads.items() if at <= now and line not in model.taken}
                item = queue.take(now)
                if item is None:
                    assert not due
                else:
                    assert due[item.line] == min(due.values())
                    assert item.delivery == heads[item.line][1]
                    assert item.content == model.content(item.partition, item.delivery)
                    model.taken.add(item.line)
                    taken.append(item)
            case ("release",):
                if taken:
                    item = taken.pop(0)
                    queue.release(item)
                    model.taken.discard(item.line)
            case ("lose", int(p)):
                queue.own(p)
                model.log[p], position[p], foreign[p] = {}, 0, len(topic[p])
        waiting = model.waiting()
        assert queue.pending() == len(waiting)
        assert queue.oldest() == min((one.event_at for _, one in waiting), default=None)
        for p in PARTITIONS:
            assert queue.last(p) == max((one.offset for one in model.log[p].values()), default=None)


def test_a_case_is_told_in_order() -> None:
    queue = Queue()
    queue.own(0)
    queue.put(0, 0, delivery(3))
    queue.put(0, 1, delivery(0, at=50))
    queue.put(0, 2, delivery(1, at=60))
    assert queue.take(49) is None
    first = queue.take(55)
    assert first is not None
    assert first.delivery.event_id == "e0"
    assert queue.take(55) is None
    queue.put(0, 3, delivery(0, "delivered", reference="r0"), ahead=True)
    assert queue.take(55) is None
    queue.release(first)
    second = queue.take(55)
    assert second is not None
    assert (second.delivery.event_id, queue.thread(second)) == ("e3", "r0")


def test_threads_that_were_not_heard_of_for_long_are_forgotten() -> None:
    """Counted from the newest message of each: a case that goes on keeps its thread."""
    queue = Queue()
    queue.own(0)
    for offset, number in enumerate((0, 1, 2, 3, 6)):  # 3 and 6 are of the case of 0
        queue.put(0, offset, delivery(number, "delivered", reference=f"r{number}"))

    def known() -> list[tuple[str, str]]:
        return [(line[1], thread.reference) for line, thread in queue.threads()]

    queue.forget(1)
    assert sorted(known()) == [("case-0", "r0"), ("case-1", "r1"), ("case-2", "r2")]
    queue.forget(2)
    assert sorted(known()) == [("case-0", "r0"), ("case-2", "r2")]
    queue.put(0, 5, delivery(9))
    item = queue.take(0)
    assert item is not None
    assert queue.thread(item) == "r0"
    queue.forget(6)
    assert known() == [("case-0", "r0")]
    queue.forget(7)
    assert known() == []


def test_what_settles_is_merged_only_while_it_waits() -> None:
    queue = Queue()
    queue.own(0)
    assert queue.settling(0, "case-0", 10) is None
    queue.put(0, 0, delivery(0, at=50))
    assert queue.settling(0, "case-0", 50) is None
    assert queue.settling(0, "case-0", 49) == delivery(0, at=50)
    queue.put(0, 1, delivery(3, "merged", reference="e0"))
    assert queue.settling(0, "case-0", 49) is None
    item = queue.take(0)
    assert item is not None
    assert (item.delivery.event_id, item.content) == ("e0", 3)


def test_what_is_not_owned_is_not_known() -> None:
    queue = Queue()
    queue.put(0, 0, delivery(1))
    queue.own(0)
    assert queue.take(99) is None
    queue.put(0, 0, delivery(1))
    queue.drop(0)
    assert (queue.take(99), queue.pending(), queue.last(0)) == (None, 0, None)


def test_what_is_read_late_is_no_news() -> None:
    """Our own records are known as soon as they are written, and are read afterwards."""
    queue = Queue()
    queue.own(0)
    queue.put(0, 0, delivery(0))
    queue.put(0, 1, delivery(0, at=50, attempts=1), ahead=True)
    queue.put(0, 2, delivery(0, "delivered"), ahead=True)
    queue.put(0, 1, delivery(0, at=50, attempts=1))
    assert queue.pending() == 0
    queue.put(0, 2, delivery(0, "delivered"))
    queue.put(0, 3, delivery(0))  # somebody wants it sent again
    assert queue.pending() == 1


def test_what_was_tried_is_not_changed_any_more() -> None:
    """It may have been taken as it was: what comes now is told by itself."""
    queue = Queue()
    queue.own(0)
    queue.put(0, 0, delivery(0, at=50, attempts=1))
    assert queue.settling(0, "case-0", 10) is None


def test_whoever_has_lost_a_partition_is_not_believed() -> None:
    """What they write late tells of messages that others have settled meanwhile, or will."""
    queue = Queue()
    queue.own(0)
    queue.put(0, 0, replace(delivery(0), owner=5))
    queue.claim(0, 3)
    assert queue.claimed(0) == 6
    queue.put(0, 1, replace(delivery(0, "delivered"), owner=6), ahead=True)
    queue.put(0, 2, replace(delivery(0, at=50, attempts=1), owner=5))  # who had it before goes on
    queue.put(0, 3, replace(delivery(3), owner=5))
    assert (queue.pending(), queue.last(0)) == (0, 0)
    queue.put(0, 4, delivery(0))  # a command
    assert queue.pending() == 1
    again = Queue()
    again.own(0)
    for offset, one in enumerate([replace(delivery(0, "delivered"), owner=6), replace(delivery(0), owner=5)]):
        again.put(0, offset, one)
    assert again.pending() == 0
    again.claim(0, 9)
    assert again.claimed(0) == 9


def test_what_is_put_off_is_given_later() -> None:
    queue = Queue()
    queue.own(0)
    queue.put(0, 0, delivery(0))
    item = queue.take(0)
    assert item is not None
    queue.put_off(item, 2.0)
    queue.release(item)
    assert queue.take(1999) is None
    item = queue.take(2000)
    assert item is not None
    queue.put_off(item, inf)
    queue.release(item)
    assert queue.take(1 << 60) is None
    assert queue.pending() == 1
