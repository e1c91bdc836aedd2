"""Batches of records that are written here, each by one join of ready pieces; headers of events are ready already.

The head of a batch and its checksum stay aiokafka's. zstd compresses at level 1: events get as small as at
aiokafka's 3.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from aiokafka import codec
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as _Writer

from npsflow.schemas.headers import Headers, ReadyHeaders
from npsflow.schemas.records import encode_headers, encode_record, varint

_HEAD = _Writer.HEADER_STRUCT.size
_CODECS: dict[str, tuple[int, Callable[[bytes], Any]]] = {
    "none": (_Writer.CODEC_NONE, bytes),
    "gzip": (_Writer.CODEC_GZIP, codec.gzip_encode),
    "snappy": (_Writer.CODEC_SNAPPY, codec.snappy_encode),
    "lz4": (_Writer.CODEC_LZ4, codec.lz4_encode),
    "zstd": (_Writer.CODEC_ZSTD, partial(codec.zstd_encode, level=1)),
}


class RecordBatch:
    """A batch for one partition, in the place of aiokafka's BatchBuilder, whose methods it has.

    `most` bytes fit into it before it is compressed; a first record does whatever its size.
    """

    def __init__(self, compression: str, most: int, *, transactional: bool = True) -> None:
        self._codec, self._compress = _CODECS[compression]
        self._room, self._transactional = most - _HEAD, transactional
        self._pieces: list[bytes] = []  # of each record its size, and the rest
        self._first = self._latest = 0  # times, ms
        self._closed = False
        self._producer = (-1, -1, 0)
        self._built: bytearray | None = None

    def append(self, *, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers) -> bool | None:
        """Add a record; None where it does not fit, or the batch is closed."""
        pieces = self._pieces
        if self._closed:
            return None
        if not pieces:
            self._first = self._latest = timestamp
        ready = headers.encoded if isinstance(headers, ReadyHeaders) else encode_headers(headers)
        record = encode_record(len(pieces) >> 1, timestamp - self._first, key, value, ready)
        size = varint(len(record))
        room = self._room - len(size) - len(record)
        if room < 0 and pieces:
            self._closed = True
            return None
        self._room = room
        if timestamp > self._latest:
            self._latest = timestamp
        pieces += size, record
        return True

    def record_count(self) -> int:
        """How many there are."""
        return len(self._pieces) >> 1

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._closed

    def _set_producer_state(self, *state: int) -> None:
        """Producer id, epoch and first sequence number, before it is built."""
        self._producer = state  # type: ignore[assignment]

    def _build(self) -> bytearray:
        self._closed = True
        if self._built is None:
            plain = b"".join(self._pieces)
            compressed = self._compress(plain)
            smaller = len(compressed) < len(plain)
            writer = _Writer(2, self._codec, int(self._transactional), *self._producer, 0)
            writer._buffer += compressed if smaller else plain
            writer._num_records, writer._last_offset = self.record_count(), self.record_count() - 1
            writer._first_timestamp, writer._max_timestamp = self._first, self._latest
            writer._write_header(smaller)
            self._built = writer._buffer
        return self._built
