"""What is remembered is found until it is too old, and comes back from the changelog."""

from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.times import HOUR
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.stored import ID, Remembered, pack
from tests.streams.contexts import answer

HORIZON = 5 * HOUR


def remembered(submitted: int, score: int = 0) -> Remembered:
    return answer(submitted=submitted, since=submitted, score=score)


def put(memory: RememberedResponses, id_: bytes, response: Remembered) -> None:
    memory.remember(id_, pack(response), response.submitted)


def go_on(memory: RememberedResponses, oldest: int) -> None:
    """To the stream time at which nothing older than this is accepted."""
    memory.advance(oldest + HORIZON)
    memory.expire()


puts = st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 9 * HOUR))
advances = st.tuples(st.just("advance"), st.just(0), st.integers(0, 9 * HOUR))


@given(st.lists(puts | advances, max_size=30))
def test_it_finds_what_is_not_too_old_and_forgets_by_whole_hours(steps: list[tuple[str, int, int]]) -> None:
    memory, expected, oldest = RememberedResponses(HORIZON), dict[bytes, Remembered](), 0
    for number, (kind, key, at) in enumerate(steps):
        if kind == "advance":
            oldest = max(oldest, at)
            go_on(memory, oldest)
            expected = {id_: one for id_, one in expected.items() if one.submitted >= oldest // HOUR * HOUR}
        elif at >= oldest:  # what is older is a dead letter
            expected[b"%d" % key] = remembered(at, number)
            put(memory, b"%d" % key, expected[b"%d" % key])
    for id_, one in expected.items():
        assert memory.find(id_) == (one if one.submitted >= oldest else None)
    assert len(memory) == len(expected)
    assert memory.find(b"never") is None


def test_a_correction_that_moves_it_is_forgotten_with_its_last_time() -> None:
    memory = RememberedResponses(HORIZON)
    for at in (5 * HOUR, HOUR, 3 * HOUR):
        put(memory, b"1", remembered(at))
    for oldest, kept in ((2 * HOUR, 1), (3 * HOUR, 1), (4 * HOUR, 0)):
        go_on(memory, oldest)
        assert len(memory) == kept
    put(memory, b"1", remembered(6 * HOUR))
    go_on(memory, 6 * HOUR - 1)
    assert memory.find(b"1") == remembered(6 * HOUR)
    go_on(memory, 6 * HOUR + 1)
    assert len(memory) == 1
    assert memory.find(b"1") is None


def test_it_comes_back_from_the_changelog_in_records_that_say_how_long_they_are_needed() -> None:
    memory, restored = RememberedResponses(HORIZON), RememberedResponses(HORIZON)
    for number in range(2_500):
        put(memory, number.to_bytes(ID, "big"), remembered(number, number))
    put(memory, bytes(ID), remembered(7, 1))
    records = memory.dump()
    assert memory.dump() == []
    assert [needed - HORIZON for _, needed in records] == [999, 1_999, 2_499]
    assert [restored.restore(record) for record, _ in records] == [needed for _, needed in records]
    assert restored.dump() == []
    assert len(restored) == 2_500
    for number in range(2_500):
        id_ = number.to_bytes(ID, "big")
        assert restored.find(id_) == memory.find(id_) is not None
    assert restored.find(bytes(ID)) == remembered(7, 1)
