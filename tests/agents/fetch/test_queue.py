"""The queue against a model that looks at all records each time."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.agents.fetch.queue import Due, Queue
from npsflow.schemas.fetch import Fetch

PARTITIONS = (0, 1)


def fetch(number: int, about: int, at: int, attempts: int = 0) -> Fetch:
    return Fetch("e", f"event-{number}", {"response": f"r{about}"}, asked_at=number, attempts=attempts, not_before=at)


@dataclass
class Model:
    """Every record of every owned partition, in order; what is written ahead of reading counts as read."""

    log: dict[int, dict[int, tuple[bytes, Fetch | None]]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def standing(self) -> list[Fetch]:
        standing = []
        for records in self.log.values():
            last = {key: value for _, (key, value) in sorted(records.items())}
            standing += [value for value in last.values() if value is not None]
        return standing

    def due(self, now: int) -> dict[str, int]:
        """By response: since when."""
        found: dict[str, int] = {}
        for one in self.standing():
            about = one.ids["response"]
            if one.not_before <= now and about not in self.taken:
                found[about] = min(found.get(about, now), one.not_before)
        return found


class Simulation:
    """A queue and its model, which see the same topic. Each public method is one step."""

    def __init__(self) -> None:
        self.queue, self.model = Queue(), Model()
        self._topic: dict[int, list[tuple[bytes, Fetch | None]]] = {partition: [] for partition in PARTITIONS}
        self._position = dict.fromkeys(PARTITIONS, 0)
        self._taken: list[Due] = []
        for partition in PARTITIONS:
            self.lose(partition)

    def _append(self, partition: int, key: bytes, value: Fetch | None) -> int:
        self._topic[partition].append((key, value))
        return len(self._topic[partition]) - 1

    def write(self, partition: int, number: int, about: int, at: int) -> None:
        self._append(partition, b"%d" % number, fetch(number, about, at))

    def delete(self, partition: int, number: int) -> None:
        self._append(partition, b"%d" % number, None)

    def ahead(self, partition: int, number: int, gone: bool, at: int) -> None:
        key, value = b"%d" % number, None if gone else fetch(number, number % 3, at, 1)
        offset = self._append(partition, key, value)
        self.queue.put(partition, offset, key, value, ahead=True)
        self.model.log[partition][offset] = (key, value)

    def read(self, partition: int, count: int) -> None:
        position = self._position[partition]
        for offset, (key, value) in enumerate(self._topic[partition][position : position + count], position):
            self.queue.put(partition, offset, key, value)
            self.model.log[partition][offset] = (key, value)
            self._position[partition] = offset + 1

    def take(self, now: int) -> None:
        due, expected = self.queue.take("e", now), self.model.due(now)
        if due is None:
            assert not expected
            return
        response = due.fetch.ids["response"]
        assert expected[response] == min(expected.values())
        mine = [fetch for fetch in self.model.standing() if fetch.ids["response"] == response]
        assert sorted(map(repr, (event.fetch for event in due.events))) == sorted(map(repr, mine))
        self.model.taken.add(response)
        self._taken.append(due)

    def release(self) -> None:
        if self._taken:
            due = self._taken.pop(0)
            self.queue.release(due)
            self.model.taken.discard(due.fetch.ids["response"])

    def lose(self, partition: int) -> None:
        """And get it back at once."""
        self.queue.assign(partition)
        self.model.log[partition], self._position[partition] = {}, 0


partitions, numbers, times = st.sampled_from(PARTITIONS), st.integers(0, 5), st.integers(0, 9)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), partitions, numbers, st.integers(0, 2), times),
        st.tuples(st.just("delete"), partitions, numbers),
        st.tuples(st.just("ahead"), partitions, numbers, st.booleans(), times),
        st.tuples(st.just("read"), partitions, st.integers(1, 3)),
        st.tuples(st.just("take"), times),
        st.tuples(st.just("take"), st.just(9)),
        st.tuples(st.just("release")),
        st.tuples(st.just("lose"), partitions),
    ),
    min_size=25,
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_it_is_what_the_records_say(steps: list[tuple[Any, ...]]) -> None:
    simulation = Simulation()
    for name, *arguments in steps:
        getattr(simulation, name)(*arguments)
        standing = simulation.model.standing()
        assert simulation.queue.pending("e") == len(standing)
        assert simulation.queue.oldest("e") == min((fetch.asked_at for fetch in standing), default=None)
        assert simulation.queue.entrances() == (["e"] if standing else [])


def test_what_is_not_assigned_is_not_known() -> None:
    queue = Queue()
    queue.put(0, 0, b"1", fetch(1, 1, 0))
    queue.assign(0)
    assert queue.take("e", 99) is None
    queue.put(0, 0, b"1", fetch(1, 1, 0))
    queue.revoke(0)
    assert (queue.take("e", 99), queue.pending("e")) == (None, 0)
