"""Kafka's default partitioner: murmur2 of the key (org.apache.kafka.common.utils.Utils.murmur2), then modulo."""

import struct
from functools import cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_words = cache(struct.Struct)


def murmur2(data: bytes) -> int:
    """32 bits, unsigned."""
    size = len(data)
    whole = size & ~3
    h = 0x9747B28C ^ size
    for k in _words(f"<{size >> 2}I").unpack_from(data):
        k = k * _M & _MASK
        h = h * _M & _MASK ^ (k ^ k >> 24) * _M & _MASK
    if whole < size:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java client, and librdkafka with `murmur2_random`, would choose."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
