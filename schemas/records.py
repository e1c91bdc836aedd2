"""One record as it stands in a batch of Kafka's format v2, written by one join of its pieces.

Source: Kafka's documentation, "Message Format", of `Record` and `Record Header`: lengths are varints in zigzag, -1 says
that nothing is there, and both the timestamp and the offset are told as the difference to those of the batch.
"""

from collections.abc import Iterable

Header = tuple[str, bytes | None]


def _varint(value: int) -> bytes:
    value = value << 1 if value >= 0 else (-value << 1) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(0x80 | value & 0x7F)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_SMALL = [_varint(value) for value in range(4096)]
_MANY = len(_SMALL)
_NOTHING = _varint(-1)


def varint(value: int) -> bytes:
    """A number as Kafka writes lengths."""
    return _SMALL[value] if 0 <= value < _MANY else _varint(value)


def sized(value: bytes | None) -> bytes:
    """A value behind its length."""
    return _NOTHING if value is None else varint(len(value)) + value


def encode_headers(headers: Iterable[Header]) -> bytes:
    """Headers with their count in front."""
    pieces = [sized(name.encode()) + sized(value) for name, value in headers]
    return varint(len(pieces)) + b"".join(pieces)


def decode_headers(encoded: bytes) -> list[Header]:
    """What `encode_headers` was given."""
    count, at = _read_varint(encoded, 0)
    headers: list[Header] = []
    for _ in range(count):
        name, at = _read_sized(encoded, at)
        value, at = _read_sized(encoded, at)
        headers.append(((name or b"").decode(), value))
    return headers


def encode_record(number: int, later: int, key: bytes | None, value: bytes | None, headers: bytes) -> bytes:
    """The record at `number` of its batch without its size, `later` ms than the first one; `headers` are encoded."""
    if key is None or value is None:
        return b"".join((b"\0", varint(later), varint(number), sized(key), sized(value), headers))
    key_size, value_size = len(key), len(value)
    return b"".join((
        b"\0", varint(later) if later else b"\0", _SMALL[number] if number < _MANY else _varint(number),
        _SMALL[key_size] if key_size < _MANY else _varint(key_size), key,
        _SMALL[value_size] if value_size < _MANY else _varint(value_size), value, headers,
    ))  # fmt: skip


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = encoded[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), at
        shift += 7


def _read_sized(encoded: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _read_varint(encoded, at)
    return (None, at) if size < 0 else (encoded[at : at + size], at + size)
