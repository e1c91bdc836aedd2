"""Input of every kind, read by workers that are killed: other clients, codecs, gaps, and what crashes the fold."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line, sample
from npsflow.agents.kafka import reading
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.stage import Record
from tests.broker.harness import END, SECONDS, Harness, lines
from tests.support.waiting import eventually

from .faulty import POISON
from .scenario import PATIENCE, Load, Scenario

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


async def test_every_client_and_codec(broker: Broker, tmp_path: Path) -> None:
    """Java, librdkafka and aiokafka put each key into the same partition; aborted transactions lie between."""
    async with Scenario(broker, "clients.", tmp_path, "kill -9 among records of all clients and codecs") as scenario:
        harness = scenario.harness
        worker = scenario.worker()
        await scenario.committed(200)
        for number, codec in enumerate(CODECS):
            some = lines(600, seed=100 + number)
            java = [line for line in some[:200] if fits_console(line)]
            await asyncio.to_thread(with_java, broker, harness, codec, java)
            await with_aiokafka(harness, codec, some[200:400], lines(50, seed=200 + number))
            await asyncio.to_thread(with_librdkafka, harness, codec, some[400:], lines(50, seed=300 + number))
            scenario.offered += len(java) + 400
            worker.kill()
            scenario.injected()
            worker = scenario.worker()
        records = await harness.read(RESPONSES)
        assert not [r.key for r in records if r.key is not None and r.partition != home(harness, r)]
        await scenario.committed(200)
        counters = await reading.counters(harness.installation, "classify")
        assert [name for name in counters if name.startswith("misplaced:")] == []


def home(harness: Harness, record: Record) -> int:
    return harness.partition(Line(record.key, None, ""))


def fits_console(line: Line) -> bool:
    """The console knows lines, with a key before the first tab."""
    return line.key is not None and line.value is not None and not {10, 13} & {*line.value}


def with_java(broker: Broker, harness: Harness, codec: str, some: Sequence[Line]) -> None:
    """Send lines with Kafka's own producer."""
    text = b"".join(b"%b\t%b\n" % (line.key or b"", line.value or b"") for line in some)
    arguments = ["--bootstrap-server", broker.bootstrap, "--topic", harness.installation.topic(RESPONSES)]
    arguments += ["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]
    broker.tool("org.apache.kafka.tools.ConsoleProducer", *arguments, f"--compression-codec={codec}", stdin=text)


async def with_aiokafka(harness: Harness, codec: str, committed: Sequence[Line], aborted: Sequence[Line]) -> None:
    """Commit one transaction and abort another, around it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=harness.installation.brokers,
        transactional_id=f"{harness.installation.prefix}aiokafka-{codec}",
        compression_type=None if codec == "none" else codec,
    )
    topic = harness.installation.topic(RESPONSES)

    async def send(some: Sequence[Line]) -> None:
        await asyncio.gather(*[await producer.send(topic, line.value, line.key) for line in some])

    async with producer:
        for part, end in ((aborted[:25], "abort"), (committed, "commit"), (aborted[25:], "abort")):
            await producer.begin_transaction()
            await send(part)
            await getattr(producer, f"{end}_transaction")()


def with_librdkafka(harness: Harness, codec: str, committed: Sequence[Line], aborted: Sequence[Line]) -> None:
    """The same, with the partitioner that is Kafka's default and not librdkafka's."""
    settings: dict[str, Any] = {"partitioner": "murmur2_random", "compression.type": codec}
    identity = {"transactional.id": f"{harness.installation.prefix}librdkafka-{codec}"}
    producer = Producer(harness.client | settings | identity)
    producer.init_transactions(SECONDS)
    for part, end in (
        (aborted[:25], producer.abort_transaction),
        (committed, producer.commit_transaction),
        (aborted[25:], producer.abort_transaction),
    ):
        producer.begin_transaction()
        for line in part:
            producer.produce(harness.installation.topic(RESPONSES), line.value, line.key)
        assert producer.flush(SECONDS) == 0
        end(SECONDS)


async def test_compacted_input(own_broker: Broker, tmp_path: Path) -> None:
    """Most of what was there is gone before any worker reads it: offsets have gaps, and each key its last version."""
    keyed = (line for line in sample(7, 20_000, END) if line.key is not None)  # others a compacted topic refuses
    async with Scenario(
        own_broker, "gaps.", tmp_path, "kill -9 in the gaps of compacted input", load=Load(keyed)
    ) as scenario:
        harness = scenario.harness
        few = [line for line in lines(300, seed=8) if line.key is not None]
        await harness.configure_topic(
            RESPONSES, {"cleanup.policy": "compact", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.0001"}
        )
        for _ in range(10):
            await scenario.offer(few)
        await eventually(partial(mostly_gone, harness, 8 * len(few)), PATIENCE)
        await harness.configure_topic(RESPONSES, {"cleanup.policy": "delete"})
        scenario.keeps_all = False

        for _ in range(3):
            worker = scenario.worker()
            await scenario.committed(100)
            worker.kill()
            scenario.injected()
        scenario.worker()


async def gone(harness: Harness) -> int:
    """How many records are missing from the input, in which nobody has written transactions yet."""
    records = await harness.read(RESPONSES)
    counts, last = Counter(r.partition for r in records), {r.partition: r.offset for r in records}
    return sum(last[partition] + 1 - count for partition, count in counts.items())


async def mostly_gone(harness: Harness, count: int) -> bool:
    return await gone(harness) >= count


async def test_records_that_crash_the_fold(broker: Broker, tmp_path: Path) -> None:
    """Each is a dead letter, once, whatever is killed meanwhile; what lies behind it goes on."""
    async with Scenario(broker, "poisoned.", tmp_path, "records that crash the fold, and kill -9") as scenario:
        scenario.poisoned = True
        for part in range(3):
            worker = scenario.worker(fault="poison")
            await scenario.committed(200)
            await scenario.offer(
                Line(b"shop/%d" % number, POISON, "response") for number in range(part * 20, part * 20 + 20)
            )
            await scenario.committed(50)
            worker.kill()
            scenario.injected()
        scenario.worker(fault="poison")
