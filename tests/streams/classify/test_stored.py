"""What is remembered of a response comes back as it was, and is small."""

import tracemalloc
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.streams.classify.fingerprint import fingerprint
from npsflow.streams.classify.memory import MemoryStore
from npsflow.streams.classify.stored import (
    ALERT_LIVE,
    DELETED,
    FOLLOW_LIVE,
    ID,
    INTERNAL,
    TEST,
    Remembered,
    pack,
    place,
    size_of,
    submitted_of,
    unpack,
)
from npsflow.streams.scoring.segments import MOST_SEGMENTS, pack_segments, unpack_segments
from tests.strategies import NOW
from tests.streams.contexts import context

flags = st.sets(st.sampled_from([DELETED, TEST, INTERNAL, ALERT_LIVE, FOLLOW_LIVE])).map(sum)
small = st.integers(0, 0xFFFF)
instants = st.integers(-(2**62), 2**62)
hashes = st.integers(0, 2**64 - 1)
places = st.builds(place, small, st.integers(0, 2**48 - 1))
segments = st.lists(st.integers(0, 0xFFFF) | st.integers(0, 2**32 - 1), min_size=1, max_size=MOST_SEGMENTS)
keys = st.text(st.characters(codec="utf-8"), max_size=256).map(str.encode)
remembered = st.builds(
    Remembered, flags, st.integers(0, 2), small, small, small, instants, st.tuples(instants, instants, places), hashes,
    hashes, segments.map(pack_segments), keys, instants, instants, st.binary(max_size=80),
)  # fmt: skip


@given(remembered, st.booleans(), st.booleans(), st.binary(max_size=5))
def test_it_comes_back_as_it_was(given_: Remembered, since: bool, raised: bool, before: bytes) -> None:
    if since:
        given_ = given_._replace(since=given_.submitted)
    if raised:
        given_ = given_._replace(raised=given_.version[1])
    packed = pack(*given_)
    assert unpack(packed) == given_
    assert submitted_of(packed) == given_.submitted
    assert size_of(before + packed, len(before)) == len(packed)


@given(segments)
def test_numbers_of_segments_come_back(numbers: list[int]) -> None:
    packed = pack_segments(numbers)
    assert unpack_segments(packed) == tuple(numbers)
    assert len(packed) == 1 + len(numbers) * (4 if max(numbers) > 0xFFFF else 2)


def test_places_sort_like_partition_and_offset() -> None:
    ordered = [(0, 0), (0, 2**48 - 1), (1, 0), (1, 7), (65_535, 2**48 - 1)]
    assert [place(*at) for at in ordered] == sorted(place(*at) for at in ordered)
    assert len({place(*at) for at in ordered}) == len(ordered)


def test_what_is_deleted_test_or_internal_counts_nowhere() -> None:
    one = Remembered(0, 0, 2, 1, 0, NOW, (NOW, NOW, 0), 1, 2, pack_segments([0]), b"", NOW, NOW, b"")
    assert [one._replace(flags=flag).live for flag in (0, ALERT_LIVE, FOLLOW_LIVE)] == [True] * 3
    assert [one._replace(flags=flag).live for flag in (DELETED, TEST, INTERNAL | ALERT_LIVE)] == [False] * 3


def test_size_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes a remembered response takes in memory: of ten, four live as alerts with a customer and eight segments."""
    count = 100_000
    alert = fingerprint(context(comment="slow", channel="chat", department="sales", customer_id="C-1"))
    rows = [(pack_segments(range(at % 9_000, at % 9_000 + 8)), alert if at % 10 < 4 else b"") for at in range(9_000)]
    tracemalloc.start()
    try:
        store = MemoryStore()
        for at in range(count):
            packed_segments, fields = rows[at % 9_000]
            submitted = NOW - at * 30_000
            key = b"C-%07d" % at if at % 10 < 8 else b""
            packed = pack(
                ALERT_LIVE if fields else FOLLOW_LIVE, 0, 2, 1, 0, submitted, (submitted, NOW, at), at, at,
                packed_segments, key, submitted, NOW, fields,
            )  # fmt: skip
            store.put(blake2b(b"%d" % at, digest_size=ID).digest(), packed, submitted)
        size = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert len(store) == count
    with capsys.disabled():
        print(f"\nremembered: {size:.0f} bytes each at {count:,}")
