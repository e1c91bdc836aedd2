"""`latency`: from produce to readable with `read_committed`, at 5,000 responses a second into eight partitions.

Open loop: responses are due at fixed times whatever became of those before, and each is timed from when it was due.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.agents.kafka import clients
from npsflow.schemas import codec
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import FOLLOW_UP, RESPONSES, SERVICE_RECOVERY
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.kafka.clients import client_options
from tests.bench import data
from tests.bench.common import BenchHarness, Process, bench_harness, report, say, scaled, tell, use_uvloop

_RATE, _SECONDS, _WARM_UP = 5_000, scaled(30), 5
_COUNT = _RATE * (_WARM_UP + _SECONDS)
_PARTITIONS = 8
_LIMIT = 250
_PATIENCE = 15.0  # seconds after the last response was due
_SOON = 2.0


def run(at: Installation) -> None:
    use_uvloop()
    with (
        bench_harness(at, f"[topics]\npartitions = {_PARTITIONS}\n") as here,
        Process("worker", "serve", "classify,rollup", environment=here.environment) as worker,
        Process("latency", environment=here.environment) as generator,
    ):
        worker.answer()
        generator.answer()
        say(f"latency: {_RATE:,} responses/s for {_WARM_UP + _SECONDS} s")
        worker.ask("what have you used?")
        before = worker.answer()
        seen, within = clients.run(_read(here, generator))
        behind = generator.answer()["behind_ms"]
        worker.ask("and now?")
        after = worker.answer()
    waits = {topic: sorted(of[n] for n in of if n >= _WARM_UP * _RATE) for topic, of in seen.items()}
    every = sorted(wait for of in waits.values() for wait in of)
    p50, p99, p999 = (_percentile(every, share) for share in (0.5, 0.99, 0.999))
    report(
        "latency",
        p99,
        "ms",
        _LIMIT,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        most_ms=every[-1],
        alert_p99_ms=_percentile(waits[SERVICE_RECOVERY], 0.99),
        follow_up_p99_ms=_percentile(waits[FOLLOW_UP], 0.99),
        append_to_append_p99_ms=_percentile(sorted(within), 0.99),
        offered_per_s=_RATE,
        missing=_RATE * _SECONDS - len(every),
        generator_behind_ms=behind,
        worker_cpu_s=after["cpu_seconds"] - before["cpu_seconds"],
        starved_s=after["starved_seconds"] - before["starved_seconds"],
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _read(here: BenchHarness, generator: Process) -> tuple[dict[str, dict[int, float]], list[float]]:
    """For each topic, number of the response to ms from due to read; and for alerts what of it lies in the worker.

    That is from the append of the response to the append of its alert, in ms of the broker's clock.
    """
    names = {here.installation.topic(name): name for name in (SERVICE_RECOVERY, FOLLOW_UP)}
    seen: dict[str, dict[int, float]] = {name: {} for name in names.values()}
    within = []
    consumer = AIOKafkaConsumer(
        **client_options(here.installation),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, p) for name in names for p in range(_PARTITIONS)])
        begin = monotonic() + _SOON
        generator.ask(str(begin))
        end = begin + _WARM_UP + _SECONDS + _PATIENCE
        while sum(map(len, seen.values())) < _COUNT and monotonic() < end:
            fetched = await consumer.getmany(timeout_ms=200)
            now = monotonic()
            for tp, records in fetched.items():
                waits = seen[names[tp.topic]]
                for record in records:
                    event = codec.loads(record.value)
                    n = data.number(event["response_id"])
                    waits[n] = 1000 * (now - begin - n / _RATE)
                    if n >= _WARM_UP * _RATE and (raised := event.get("raised_at")):
                        within.append(record.timestamp - 1000 * datetime.fromisoformat(raised).timestamp())
    finally:
        await consumer.stop()
    return seen, within


# The generator: a process of its own, so that reading does not hold it up.


async def _offer() -> None:
    here, partitions = read_installation(), load().topics.partitions
    topic = here.topic(RESPONSES)
    begin = datetime.now(UTC) + timedelta(seconds=_SOON)
    times = (begin + timedelta(seconds=i / _RATE) for i in range(_COUNT))
    made = [(key, value, partition_of(key, partitions)) for key, value in map(data.encode, data.responses(times))]
    tell(made=len(made))
    start, behind = float(sys.stdin.readline()), 0.0
    async with clients.producer(here) as producer:
        for n, (key, value, partition) in enumerate(made):
            due = start + n / _RATE
            while (early := due - monotonic()) > 0:
                await asyncio.sleep(early)
            behind = max(behind, -early)
            await producer.send(topic, value, key, partition)
        await producer.flush()
    tell(behind_ms=1000 * behind)


if __name__ == "__main__":
    use_uvloop()
    asyncio.run(_offer())
