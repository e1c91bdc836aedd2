"""What is remembered of a response comes back as it was, and is small."""

import tracemalloc
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from npsflow.streams.classify.fingerprint import fingerprint
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.stored import (
    ALERT_LIVE,
    DELETED,
    FOLLOW_LIVE,
    ID,
    INTERNAL,
    LATE,
    TEST,
    Remembered,
    mark_late,
    pack,
    place,
    size_of,
    submitted_of,
    unpack,
)
from npsflow.streams.scoring.segments import MOST_SEGMENTS, pack_segments, unpack_segments
from tests.strategies import NOW
from tests.streams.contexts import answer, context

flags = st.sets(st.sampled_from([DELETED, TEST, INTERNAL, ALERT_LIVE, FOLLOW_LIVE, LATE])).map(sum)
small = st.integers(0, 0xFFFF)
instants = st.integers(-(2**62), 2**62)
hashes = st.integers(0, 2**64 - 1)
places = st.builds(place, small, st.integers(0, 2**48 - 1))
segments = st.lists(st.integers(0, 0xFFFF) | st.integers(0, 2**32 - 1), min_size=1, max_size=MOST_SEGMENTS)
keys = st.text(st.characters(codec="utf-8"), max_size=256).map(str.encode)
remembered = st.builds(
    Remembered, flags=flags, rank=st.integers(0, 2), score=small, alert_revision=small, follow_revision=small,
    submitted=instants, version=st.tuples(instants, instants, places), content=hashes, context=hashes,
    segments=segments.map(pack_segments), key=keys, since=instants, raised=instants, fields=st.binary(max_size=80),
)  # fmt: skip


@given(remembered, st.booleans(), st.booleans(), st.binary(max_size=5))
def test_it_comes_back_as_it_was(given_: Remembered, since: bool, raised: bool, before: bytes) -> None:
    if since:
        given_ = replace(given_, since=given_.submitted)
    if raised:
        given_ = replace(given_, raised=given_.version[1])
    packed = pack(given_)
    assert unpack(packed) == given_
    assert unpack(mark_late(packed)) == replace(given_, flags=given_.flags | LATE)
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
    assert [answer(flags=flags).live for flags in (0, ALERT_LIVE, FOLLOW_LIVE)] == [True] * 3
    assert [answer(flags=flags).live for flags in (DELETED, TEST, INTERNAL | ALERT_LIVE)] == [False] * 3


@pytest.mark.long
def test_size_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes a remembered response takes in memory: of ten, four live as alerts with a customer and eight segments."""
    count = 12_500
    alert = fingerprint(context(comment="slow", channel="chat", department="sales", customer_id="C-1"))
    rows = [(pack_segments(range(at % 9_000, at % 9_000 + 8)), alert if at % 10 < 4 else b"") for at in range(9_000)]
    tracemalloc.start()
    try:
        memory = RememberedResponses(0)
        for at in range(count):
            packed_segments, fields = rows[at % 9_000]
            submitted = NOW - at * 30_000
            key = b"C-%07d" % at if at % 10 < 8 else b""
            one = answer(
                flags=ALERT_LIVE if fields else FOLLOW_LIVE, submitted=submitted, version=(submitted, NOW, at),
                content=at, context=at, segments=packed_segments, key=key, since=submitted, raised=NOW, fields=fields,
            )  # fmt: skip
            memory.remember(blake2b(b"%d" % at, digest_size=ID).digest(), pack(one), submitted)
            if at % 1000 == 999:
                memory.dump()
        size = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert len(memory) == count
    with capsys.disabled():
        print(f"\nremembered: {size:.0f} bytes each at {count:,}")
