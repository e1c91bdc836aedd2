"""What is remembered is found until it expires."""

from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.times import HOUR
from npsflow.streams.classify.memory import MemoryStore
from npsflow.streams.classify.stored import pack


def packed(submitted: int, score: int = 0) -> bytes:
    return pack(0, 0, score, 0, 0, submitted, (0, 0, 0), 0, 0, b"\0", b"", submitted, 0, b"")


puts = st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 9 * HOUR))
expiries = st.tuples(st.just("expire"), st.just(0), st.integers(0, 9 * HOUR))


@given(st.lists(puts | expiries, max_size=30))
def test_it_forgets_whole_hours_before_the_latest_expiry_and_nothing_else(steps: list[tuple[str, int, int]]) -> None:
    store, expected, border = MemoryStore(), dict[bytes, tuple[int, bytes]](), 0
    for number, (kind, key, at) in enumerate(steps):
        name = b"%d" % key
        if kind == "expire":
            border = max(border, at // HOUR * HOUR)
            store.expire(at)
            expected = {key: entry for key, entry in expected.items() if entry[0] >= border}
        elif at >= border:  # what is older is dead by then
            expected[name] = at, packed(at, number)
            store.put(name, packed(at, number), at)
    assert {key: store.get(key) for key in expected} == {key: value for key, (_, value) in expected.items()}
    assert len(store) == len(expected)
    assert store.get(b"never") is None


def test_a_correction_that_moves_it_is_forgotten_with_its_last_time() -> None:
    store = MemoryStore()
    for at in (5 * HOUR, HOUR, 3 * HOUR):
        store.put(b"1", packed(at), at)
    store.expire(2 * HOUR)
    assert len(store) == 1
    store.expire(3 * HOUR)
    assert len(store) == 1
    store.expire(4 * HOUR)
    assert len(store) == 0
    store.put(b"1", packed(6 * HOUR), 6 * HOUR)
    store.expire(6 * HOUR - 1)
    assert store.get(b"1") == packed(6 * HOUR)
