"""Keys go where Kafka's Java client would send them."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.partitioner import murmur2, partition_of, partitions_of


@pytest.mark.parametrize(
    ("key", "hashed"),  # org.apache.kafka.common.utils.UtilsTest
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_vectors_of_kafka(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


@given(st.binary(max_size=40), st.integers(1, 1000))
def test_the_same_as_aiokafka(key: bytes, partitions: int) -> None:
    assert murmur2(key) == theirs(key) % 2**32
    everywhere = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)


_LENGTHS = st.integers(0, 90).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size + 3), max_size=40))
"""Keys of like length, that are hashed together."""


@given(st.lists(st.binary(max_size=90), max_size=60) | _LENGTHS, st.integers(1, 1000))
def test_many_at_once_are_the_same_as_one_by_one(keys: list[bytes], partitions: int) -> None:
    everywhere = list(range(partitions))
    assert partitions_of(keys, partitions) == [DefaultPartitioner()(key, everywhere, everywhere) for key in keys]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 40])
def test_many_at_once_of_every_length(count: int) -> None:
    for size in range(300):
        keys = [bytes((255 - n + at) % 256 for at in range(size)) for n in range(count)]
        assert partitions_of(keys, 7) == [(theirs(key) & 0x7FFFFFFF) % 7 for key in keys]
