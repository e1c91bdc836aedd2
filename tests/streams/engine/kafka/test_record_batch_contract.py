"""A batch that is written here is the one that aiokafka would write, and aiokafka can send it."""

import ast
import inspect
from typing import Any, get_args

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.headers import CloudEvents
from npsflow.streams.engine.installation import Compression
from npsflow.streams.engine.kafka.record_batch import RecordBatch

MOST = 1 << 20
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]

_times = st.integers(0, 1 << 45)  # aiokafka's C code takes -1 of a first record for no time at all
_lengths = st.sampled_from([0, 1, 63, 64, 4095, 4096, 8191, 8192, 70_000])
_bytes = st.none() | st.binary(max_size=20) | st.builds(lambda size: b"x" * size, _lengths)
_headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=80)), max_size=3)
_rows = st.lists(st.tuples(_times, _bytes, _bytes, _headers), min_size=1, max_size=5)


def written(rows: list[Row], compression: str = "none", most: int = MOST) -> tuple[RecordBatch, bytes]:
    batch = RecordBatch(compression, most)
    for timestamp, key, value, headers in rows:
        batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
    batch._set_producer_state(7, 3, 11)
    return batch, bytes(batch._build())


def by_aiokafka(rows: list[Row]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 1, 7, 3, 11, MOST)
    for number, (timestamp, key, value, headers) in enumerate(rows):
        builder.append(number, timestamp, key, value, headers)
    return bytes(builder.build())


def read(batch: bytes) -> list[Row]:
    (records,) = iter_batches(batch)
    return [(r.timestamp, r.key, r.value, list(r.headers)) for r in records]


def iter_batches(data: bytes) -> list[Any]:
    records, batches = MemoryRecords(data), []
    while records.has_next():
        batches.append(records.next_batch())
        assert batches[-1].validate_crc()
    return batches


@given(_rows)
def test_it_is_written_as_aiokafka_writes_it(rows: list[Row]) -> None:
    assert written(rows)[1] == by_aiokafka(rows)


@pytest.mark.parametrize("compression", get_args(Compression))
def test_every_compression_is_read_back(compression: str) -> None:
    rows: list[Row] = [(at, b"key", b"text " * 200, [("name", b"value")]) for at in range(3)]
    batch, data = written(rows, compression)
    assert read(data) == rows
    assert (len(data) < 500) is (compression != "none")
    assert batch._build() is batch._build()


def test_what_does_not_get_smaller_is_not_compressed() -> None:
    rows: list[Row] = [(0, None, b"x", [])]
    assert written(rows, "zstd")[1] == by_aiokafka(rows)


def test_a_batch_is_full_at_its_size_and_then_closed() -> None:
    rows: list[Row] = [(0, None, b"x" * 400, [])] * 3
    batch, data = written(rows, most=1000)
    assert (batch.record_count(), batch.closed(), len(read(data))) == (2, True, 2)
    assert batch.append(timestamp=0, key=None, value=b"", headers=[]) is None
    large, _ = written([(0, None, b"x" * 2000, [])], most=1000)
    assert large.record_count() == 1


def test_ready_headers_are_written_as_others() -> None:
    ready = CloudEvents("s", ["t"]).headers("t", "a-1", 1, "now")
    assert written([(0, None, b"", ready)])[1] == written([(0, None, b"", list(ready))])[1]  # type: ignore[list-item]


def test_it_has_whatever_aiokafka_asks_of_a_batch() -> None:
    asked = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(message_accumulator)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "_builder"
        and not (isinstance(node.value.value, ast.Name) and node.value.value.id == "self" and node.attr in _OWN)
    }
    assert asked
    assert asked <= set(dir(RecordBatch))


_OWN = {"size", "build", "set_producer_state"}
"""What aiokafka's own batch asks of what it is made of."""
