"""Kafka's default partitioner: murmur2 of the key (org.apache.kafka.common.utils.Utils.murmur2), then modulo."""

import struct
from array import array
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_words = cache(struct.Struct)


def murmur2(data: bytes) -> int:
    """32 bits, unsigned."""
    size = len(data)
    whole = size & ~3
    h = _SEED ^ size
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


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """`partition_of` each key, in their order, at a fraction of the time: keys of similar length are hashed at once."""
    if partitions == 1:
        return [0] * len(keys)
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        alike[len(key) >> 2].append(at)
    found = [0] * len(keys)
    for whole, places in alike.items():
        if len(places) < _FEWEST:
            for at in places:
                found[at] = partition_of(keys[at], partitions)
        else:
            for at, h in zip(places, _murmur2_of_many([keys[at] for at in places], whole), strict=True):
                found[at] = (h & 0x7FFFFFFF) % partitions
    return found


# Many hashes at once: every key has a lane of 64 bits in one large integer, so that one operation of Python does a step
# of murmur2 for all of them. A product of two numbers of 32 bits fits its lane; a mask then cuts it to 32 bits.

_FEWEST = 5  # keys below which the large integers cost more than they save


def _murmur2_of_many(keys: Sequence[bytes], whole: int) -> list[int]:
    """`murmur2` of keys that all have `whole` complete words of 4 bytes, and up to 3 bytes more."""
    count, width = len(keys), whole + 1
    half = (count + 1) // 2
    ones = _ones(2 * half)
    low, first_byte = ones * _MASK, ones * 0xFF
    numbers = _words(f"<{count}I")
    sizes = [len(key) for key in keys]
    words = array("I", b"".join([key.ljust(4 * width, b"\0") for key in keys]))
    h = _lanes(numbers.pack(*[_SEED ^ size for size in sizes]), half)
    for at in range(whole):
        k = _lanes(words[at::width].tobytes(), half) * _M & low
        h = (h * _M & low) ^ (k ^ k >> 24 & first_byte) * _M & low
    tailed = _lanes(numbers.pack(*[_MASK if size & 3 else 0 for size in sizes]), half)
    h = (h ^ _lanes(words[whole::width].tobytes(), half)) * _M & tailed | h & (low ^ tailed)
    h = (h ^ h >> 13 & ones * 0x7FFFF) * _M & low
    h ^= h >> 15 & ones * 0x1FFFF
    hashes = _words(f"<{4 * half}I").unpack(h.to_bytes(16 * half, "little"))
    found = [0] * count
    found[::2], found[1::2] = hashes[: 2 * half : 2], hashes[2 * half :: 2][: count // 2]
    return found


@lru_cache(1024)
def _ones(lanes: int) -> int:
    """The number that has a 1 in each lane."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * lanes, "little")


def _lanes(words: bytes, half: int) -> int:
    """Words of 32 bits in lanes: the first, third, fifth and so on in the lower `half`, the others in the upper."""
    together = int.from_bytes(words, "little")
    low = _ones(half) * _MASK
    return together & low | (together >> 32 & low) << 64 * half
