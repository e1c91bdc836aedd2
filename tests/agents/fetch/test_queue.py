"""The queue against a model that looks at all records each time."""

from dataclasses import dataclass, field

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
        found = []
        for records in self.log.values():
            last = {key: value for _, (key, value) in sorted(records.items())}
            found += [value for value in last.values() if value is not None]
        return found

    def due(self, now: int) -> dict[str, int]:
        """By response: since when."""
        found: dict[str, int] = {}
        for one in self.standing():
            about = one.ids["response"]
            if one.not_before <= now and about not in self.taken:
                found[about] = min(found.get(about, now), one.not_before)
        return found


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.sampled_from(PARTITIONS), st.integers(0, 5), st.integers(0, 2), st.integers(0, 9)
        ),
        st.tuples(st.just("delete"), st.sampled_from(PARTITIONS), st.integers(0, 5)),
        st.tuples(st.just("ahead"), st.sampled_from(PARTITIONS), st.integers(0, 5), st.booleans(), st.integers(0, 9)),
        st.tuples(st.just("read"), st.sampled_from(PARTITIONS), st.integers(1, 3)),
        st.tuples(st.just("take"), st.integers(0, 9)),
        st.tuples(st.just("take"), st.just(9)),
        st.tuples(st.just("release")),
        st.tuples(st.just("lose"), st.sampled_from(PARTITIONS)),
    ),
    min_size=25,
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_it_is_what_the_records_say(steps: list[tuple[object, ...]]) -> None:
    queue, model = Queue(), Model()
    topic: dict[int, list[tuple[bytes, Fetch | None]]] = {partition: [] for partition in PARTITIONS}
    position = dict.fromkeys(PARTITIONS, 0)
    taken: list[Due] = []
    for partition in PARTITIONS:
        queue.own(partition)
        model.log[partition] = {}

    def append(partition: int, key: bytes, value: Fetch | None) -> int:
        topic[partition].append((key, value))
        return len(topic[partition]) - 1

    for step in steps:
        match step:
            case ("write", int(p), int(number), int(about), int(at)):
                append(p, b"%d" % number, fetch(number, about, at))
            case ("delete", int(p), int(number)):
                append(p, b"%d" % number, None)
            case ("ahead", int(p), int(number), bool(gone), int(at)):
                value = None if gone else fetch(number, number % 3, at, 1)
                offset = append(p, b"%d" % number, value)
                queue.put(p, offset, b"%d" % number, value, ahead=True)
                model.log[p][offset] = (b"%d" % number, value)
            case ("read", int(p), int(count)):
                for offset in range(position[p], min(position[p] + count, len(topic[p]))):
                    key, value = topic[p][offset]
                    queue.put(p, offset, key, value)
                    model.log[p][offset] = (key, value)
                    position[p] = offset + 1
            case ("take", int(now)):
                due, expected = queue.take("e", now), model.due(now)
                if due is None:
                    assert not expected
                else:
                    response = due.fetch.ids["response"]
                    assert expected[response] == min(expected.values())
                    mine = [one for one in model.standing() if one.ids["response"] == response]
                    assert sorted(map(repr, (event.fetch for event in due.events))) == sorted(map(repr, mine))
                    model.taken.add(response)
                    taken.append(due)
            case ("release",):
                if taken:
                    due = taken.pop(0)
                    queue.release(due)
                    model.taken.discard(due.fetch.ids["response"])
            case ("lose", int(p)):
                queue.own(p)
                model.log[p], position[p] = {}, 0
        standing = model.standing()
        assert queue.pending("e") == len(standing)
        assert queue.oldest("e") == min((one.asked_at for one in standing), default=None)
        assert queue.entrances() == (["e"] if standing else [])


def test_what_is_not_owned_is_not_known() -> None:
    queue = Queue()
    queue.put(0, 0, b"1", fetch(1, 1, 0))
    queue.own(0)
    assert queue.take("e", 99) is None
    queue.put(0, 0, b"1", fetch(1, 1, 0))
    queue.drop(0)
    assert (queue.take("e", 99), queue.pending("e")) == (None, 0)
