"""What the tests of the oracle are made of: single records, and the sample as a topic holds it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from npsflow.agents.demo import oracle, sample
from npsflow.agents.demo.oracle import Expected, Record

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
NOW = int(END.timestamp() * 1000)


def partition_of(key: bytes | None, number: int, partitions: int) -> int:
    return number % partitions if key is None else (oracle.murmur2(key) & 0x7FFFFFFF) % partitions


def log(lines: Iterable[sample.Line], *, partitions: int = 4, skew: int = 0, after: int = 0) -> Iterator[Record]:
    """The lines as a topic holds them; `skew` ms between partitions, appended `after` ms from the end of the month."""
    offsets = Counter[int]()
    for number, line in enumerate(lines):
        partition = partition_of(line.key, number, partitions)
        yield Record(partition, offsets[partition], NOW + after + number + skew * partition, line.key, line.value, ())
        offsets[partition] += 1


def expect(*values: dict[str, Any] | bytes | None, key: bytes | None = b"s/1") -> Expected:
    """What comes out of one partition; each response under its own key, other values under `key`."""
    records = []
    for offset, value in enumerate(values):
        if isinstance(value, dict):
            own = f"{value['source']}/{value['response_id']}".encode()
            records.append(Record(0, offset, NOW + offset, own, json.dumps(value).encode()))
        else:
            records.append(Record(0, offset, NOW + offset, key, value))
    return oracle.expect(records, partitions=1)


def overall(expected: Expected, window: str = "30d", metric: str = "nps", scale: str = "0-10") -> dict[str, Any]:
    return expected.windows[metric, scale, (), window]
