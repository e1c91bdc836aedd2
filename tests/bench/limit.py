"""`limit`: what Python can read at all, aiokafka's `getmany` and `orjson.loads` of every value, on one core."""

import asyncio
import sys
from time import monotonic
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from npsflow.schemas.topics import RESPONSES
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.kafka.clients import client_options
from tests.bench import data
from tests.bench.common import (
    BenchHarness,
    bench_harness,
    cpu_seconds,
    measured,
    one_core,
    report,
    say,
    scaled,
    starved_seconds,
    tell,
    use_uvloop,
)

COUNT = scaled(400_000)


def run(at: Installation) -> None:
    with bench_harness(at) as here:
        say(f"limit: {here.fill(data.waiting(COUNT)):,} responses are read")
        found = limit(here, COUNT)
    report(
        "limit",
        COUNT / found["seconds"],
        "responses/s",
        cpu_s_per_million=per_million(found, COUNT),
        starved_s=found["starved_seconds"],
    )


def limit(here: BenchHarness, count: int) -> dict[str, Any]:
    """Seconds and CPU seconds from the first batch of `count` responses to the last."""
    return measured("limit", str(count), environment=here.environment)


def per_million(found: dict[str, Any], count: int) -> float:
    """CPU seconds for a million responses."""
    cpu: float = found["cpu_seconds"]
    return cpu / count * 1e6


async def main(count: int) -> None:
    here, loads = read_installation(), orjson.loads
    consumer = AIOKafkaConsumer(
        here.topic(RESPONSES),
        **client_options(here),
        group_id=None,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    read, began = 0, (0.0, 0.0, 0.0)
    while read < count:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=2_000)
        if not read and fetched:
            began = monotonic(), cpu_seconds(), starved_seconds()
        for records in fetched.values():
            for record in records:
                loads(record.value)
            read += len(records)
    seconds, cpu = monotonic() - began[0], cpu_seconds() - began[1]
    tell(seconds=seconds, cpu_seconds=cpu, starved_seconds=starved_seconds() - began[2])
    await consumer.stop()


if __name__ == "__main__":
    one_core()
    use_uvloop()
    asyncio.run(main(int(sys.argv[1])))
