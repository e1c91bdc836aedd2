"""One remembered response, packed: what is needed to correct, retract or recognise it for the whole horizon.

Measured on CPython 3.11: a tuple of the same facts in a dict takes 400-490 bytes, this 128 and its key 64.
"""

import struct
from array import array
from typing import NamedTuple

DELETED, TEST, INTERNAL, ALERT_LIVE, FOLLOW_LIVE, CORRECTED, WIDE = 1, 2, 4, 8, 16, 32, 64

_HEAD = struct.Struct("<HBhHHqqQqQQ")
_SINCE = struct.Struct("<qq")
_NARROW = 0xFFFF
_OFFSET_BITS = 48

Version = tuple[int, int, int]
"""(updated or submitted, origin append time, origin partition and offset): the greater stands. Times in ms."""


def place(partition: int, offset: int) -> int:
    """Partition and offset as one number that sorts like the pair."""
    return partition << _OFFSET_BITS | offset


class Remembered(NamedTuple):
    """`segments` are numbers of (metric, scale, segment), overall first; empty for deleted, test and internal ones.

    `content` recognises a repeat, `context` a change of what events carry; `key` is the Kafka key of its events where
    a customer is known, else empty; `since` and `raised` (ms) say from when its event is due and which record raised
    it; `fields` is the fingerprint of an alert's fields.
    """

    flags: int
    rank: int
    score: int
    alert_revision: int
    follow_revision: int
    submitted: int
    version: Version
    content: int
    context: int
    segments: tuple[int, ...]
    key: bytes
    since: int
    raised: int
    fields: bytes

    @property
    def live(self) -> bool:
        """Whether it is counted in windows."""
        return not self.flags & (DELETED | TEST | INTERNAL)


def pack(r: Remembered) -> bytes:
    flags, parts = r.flags & ~(CORRECTED | WIDE), []
    version = r.version
    wide = bool(r.segments) and max(r.segments) > _NARROW
    if wide:
        flags |= WIDE
    if r.since != r.submitted or r.raised != version[1]:
        flags |= CORRECTED
        parts = [_SINCE.pack(r.since, r.raised)]
    head = _HEAD.pack(
        flags, r.rank, r.score, r.alert_revision, r.follow_revision, r.submitted, *version, r.content, r.context
    )
    numbers = array("I" if wide else "H", r.segments).tobytes()
    sizes = bytes((len(r.segments),)) + len(r.key).to_bytes(2, "little")
    return b"".join((head, sizes, numbers, r.key, *parts, r.fields))


def unpack(packed: bytes) -> Remembered:
    flags, rank, score, alert, follow, submitted, updated, appended, origin, content, context = _HEAD.unpack_from(packed)
    at = _HEAD.size
    count, key_size = packed[at], int.from_bytes(packed[at + 1 : at + 3], "little")
    numbers = array("I" if flags & WIDE else "H")
    begin = at + 3
    end = begin + count * numbers.itemsize
    numbers.frombytes(packed[begin:end])
    key = packed[end : end + key_size]
    end += key_size
    since, raised = submitted, appended
    if flags & CORRECTED:
        since, raised = _SINCE.unpack_from(packed, end)
        end += _SINCE.size
    version = (updated, appended, origin)
    flags &= ~(CORRECTED | WIDE)
    return Remembered(
        flags, rank, score, alert, follow, submitted, version, content, context, tuple(numbers), key, since, raised,
        packed[end:],
    )  # fmt: skip


def submitted_of(packed: bytes) -> int:
    """When a packed response was submitted, ms, without unpacking the rest."""
    return _SUBMITTED.unpack_from(packed, _SUBMITTED_AT)[0]  # type: ignore[no-any-return]


_SUBMITTED = struct.Struct("<q")
_SUBMITTED_AT = struct.calcsize("<HBhHH")
