"""What goes through both stages equals the oracle, whoever reads it and however it was produced."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.agents.kafka import reading
from npsflow.schemas import topics
from npsflow.schemas.events import ALERT_RAISED
from npsflow.streams.engine.context import EngineSettings
from tests.support.waiting import eventually

from .harness import SECONDS, Harness, lines, response_line

OUTPUTS = (topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.DEAD_LETTERS)


async def test_sample_equals_the_oracle_for_every_client(broker: Broker) -> None:
    async with Harness(broker, "sample.") as harness:
        harness.produce(lines(4_000))
        async with harness.worker():
            await eventually(harness.finished)

        assert await harness.differences() == []
        for topic in OUTPUTS:
            read = sorted((r.partition, r.offset, r.key, r.value) for r in await harness.read(topic))
            assert read == sorted(with_librdkafka(harness, topic))
        values = sorted(r.value or b"" for r in await harness.read(topics.SERVICE_RECOVERY))
        assert sorted(with_kafkas_own_tool(broker, harness, topics.SERVICE_RECOVERY)) == values


def with_librdkafka(harness: Harness, topic: str) -> list[tuple[Any, ...]]:
    """Partition, offset, key and value of all committed records of a topic."""
    consumer = Consumer(
        harness.client | {"group.id": "none", "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    name, partitions = harness.installation.topic(topic), harness.settings.topics.partitions
    consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in range(partitions)])
    read, ended = [], 0
    while ended < partitions:
        (message,) = consumer.consume(1, SECONDS)
        if message.error() is None:
            read.append((message.partition(), message.offset(), message.key(), message.value()))
        else:
            ended += 1
    consumer.close()
    return read


def with_kafkas_own_tool(broker: Broker, harness: Harness, topic: str) -> list[bytes]:
    arguments = f"--bootstrap-server {broker.bootstrap} --topic {harness.installation.topic(topic)} --from-beginning"
    committed = "--isolation-level read_committed --timeout-ms 3000"
    tool = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    return broker.tool(tool, *arguments.split(), *committed.split()).splitlines()


async def test_any_producer(broker: Broker) -> None:
    """Every codec, transactions, gaps where some were aborted, and one that partitions differently."""
    async with Harness(broker, "any.") as harness:
        foreign = [line for line in lines(400, seed=11) if line.kind == "response"]
        harness.produce(foreign, partitioner="consistent_random")
        for codec, begin in zip(("none", "gzip", "snappy", "lz4", "zstd"), range(0, 2_500, 500), strict=True):
            produce_in_transactions(harness, codec, lines(2_500)[begin : begin + 500], lines(50, seed=begin))
        async with harness.worker():
            await eventually(harness.finished)

        assert await harness.differences() == []
        counters = await reading.counters(harness.installation, "classify")
        assert sum(count for name, count in counters.items() if name.startswith("misplaced:")) >= len(foreign) // 2


def produce_in_transactions(harness: Harness, codec: str, committed: Sequence[Line], aborted: Sequence[Line]) -> None:
    identity = {"transactional.id": f"{harness.installation.prefix}{codec}", "partitioner": "murmur2_random"}
    producer = Producer(harness.client | identity | {"compression.type": codec})
    producer.init_transactions(SECONDS)
    for some, end in ((committed, producer.commit_transaction), (aborted, producer.abort_transaction)):
        producer.begin_transaction()
        for line in some:
            producer.produce(harness.installation.topic(topics.RESPONSES), line.value, line.key)
        assert producer.flush(SECONDS) == 0
        end(SECONDS)


async def test_alerts_do_not_wait_for_what_has_time(broker: Broker) -> None:
    """What satisfied customers say may wait for an hour here, and each alert between them is there all the same."""
    patient = EngineSettings(normal_wait=3600.0)
    async with Harness(broker, "prompt.") as harness, harness.worker("classify", engine=patient):
        for begin in range(0, 300, 100):  # one alert that has been waited for leaves nothing behind it that is urgent
            harness.produce(response_line(begin + at, score=2 if at % 20 == 10 else 9) for at in range(100))
            await eventually(partial(has_raised, harness, begin // 20 + 5))


async def has_raised(harness: Harness, count: int) -> bool:
    events = await harness.read(topics.SERVICE_RECOVERY)
    return sum(("ce_type", ALERT_RAISED.encode()) in event.headers for event in events) == count
