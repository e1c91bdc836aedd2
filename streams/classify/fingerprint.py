"""Which fields of an alert changed, seen from 2 bytes a field instead of the fields themselves."""

import struct
from functools import lru_cache
from operator import attrgetter

from xxhash import xxh3_64_intdigest

from npsflow.schemas.codec import encode
from npsflow.schemas.events import Context

_IDENTITY = {"response_id", "source", "metric", "category", "customer_id"}  # another one of these is another alert
_ORDER = [name for name in Context.__struct_fields__ if name not in _IDENTITY]
_BITS = [(1 << at) for at in range(len(_ORDER))]
_fetch = attrgetter(*_ORDER)
_MASK = 0xFFFF
_SHORTS = [struct.Struct(f"<Q{size}H") for size in range(len(_ORDER) + 1)]
_REPEATING = {
    _ORDER.index(name)
    for name in (
        "survey_id", "score", "survey_name", "survey_kind", "language", "channel", "journey_stage", "touchpoint",
        "department", "team", "product", "tier",
    )
}  # fmt: skip
"""Where texts and integers are that many responses share: their hashes are kept."""


def fingerprint(context: Context) -> bytes:
    """A bit for each field that is set, then 16 bits of hash for each of them, in the order of Context.

    A changed field can go unnamed once in 65,536 times; whether anything changed is decided elsewhere.
    """
    values = _fetch(context)
    present = [at for at, value in enumerate(values) if value is not None]
    hashes = [_kept_hash(values[at]) if at in _REPEATING else _hash(values[at]) for at in present]
    return _SHORTS[len(hashes)].pack(sum([1 << at for at in present]), *hashes)


def _hash(value: object) -> int:
    return xxh3_64_intdigest(encode(value)) & _MASK


@lru_cache(10_000)
def _kept_hash(value: str | int) -> int:
    return _hash(value)


def changed(before: bytes, after: bytes) -> list[str]:
    """Names of the fields in which two fingerprints differ, sorted."""
    old, new = _by_field(before), _by_field(after)
    return sorted(name for name in _ORDER if old.get(name) != new.get(name))


def _by_field(packed: bytes) -> dict[str, int]:
    (present,) = struct.unpack_from("<Q", packed)
    names = [name for bit, name in zip(_BITS, _ORDER, strict=True) if present & bit]
    return dict(zip(names, struct.unpack_from(f"<{len(names)}H", packed, 8), strict=True))
