"""Clients of processes that live for months: whatever inside of one breaks, another takes its place and goes on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer, renewed_consumer
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.broken_consumer import ConsumerBroken
from tests.support.waiting import eventually

from .harness import Harness

PARTITIONS = 2

TASKS: dict[str, Callable[[Any], Any]] = {
    "fetches": lambda consumer: consumer._fetcher._fetch_task,
    "metadata": lambda consumer: consumer._client._sync_task,
    "coordination": lambda consumer: consumer._coordinator._coordination_task,
}


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """What the group has told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.told.append(("revoked", len(revoked)))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.told.append(("assigned", len(assigned)))


async def made(broker: Broker, topic: str) -> Installation:
    installation = Installation(broker.bootstrap)
    async with clients.admin(installation) as admin:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    return installation


async def write(producer: RenewedProducer, topic: str, *values: bytes) -> None:
    for number, value in enumerate(values):
        await producer.send_and_wait(topic, value, None, number % PARTITIONS)


async def read(consumer: RenewedConsumer, count: int) -> list[bytes]:
    """So many values, and whatever comes with the last of them."""
    values: list[bytes] = []

    async def all_there() -> bool:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    await eventually(all_there)
    return sorted(values)


async def end(task: Any) -> None:
    """As an error that nobody foresaw would."""
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("broken", ["fetches", "metadata"])
async def test_without_a_group_it_goes_on_where_it_stood(broker: Broker, broken: str) -> None:
    topic = f"renewed-{broken}"
    installation = await made(broker, topic)
    tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    async with renewed_producer(installation) as producer, renewed_consumer(installation) as consumer:
        consumer.assign(tps)
        await write(producer, topic, b"1", b"2")
        assert await read(consumer, 2) == [b"1", b"2"]
        consumer.pause(tps[1])
        await end(TASKS[broken](consumer))
        await write(producer, topic, b"3", b"4")
        assert await read(consumer, 1) == [b"3"]
        assert consumer.paused() == {tps[1]}
        consumer.resume(tps[1])
        assert await read(consumer, 1) == [b"4"]


@pytest.mark.parametrize("broken", TASKS)
async def test_in_a_group_it_is_as_a_rebalance(broker: Broker, broken: str) -> None:
    """It reads from what is committed, as after any other rebalance."""
    topic, group = f"renewed-group-{broken}", f"renewed-{broken}"
    installation, listener = await made(broker, topic), Listener()
    async with (
        renewed_producer(installation) as producer,
        renewed_consumer(installation, group, 6_000) as consumer,
    ):
        consumer.subscribe([topic], listener)
        await write(producer, topic, b"1", b"2")
        assert await read(consumer, 2) == [b"1", b"2"]
        await consumer.commit()
        await end(TASKS[broken](consumer))
        await write(producer, topic, b"3", b"4")
        assert await read(consumer, 2) == [b"3", b"4"]
        assert [told for told in listener.told if told[1]] == [
            ("assigned", PARTITIONS), ("revoked", PARTITIONS), ("assigned", PARTITIONS),
        ]  # fmt: skip


async def test_one_that_has_never_read_says_why(broker: Broker) -> None:
    async with renewed_consumer(Installation(broker.bootstrap)) as consumer:
        consumer.assign([TopicPartition("renewed-nowhere", 0)])
        assert await consumer.getmany(timeout_ms=100) == {}
        consumer._coordinator.check_errors = refuse
        with pytest.raises(KafkaError, match="refused"):
            await consumer.getmany(timeout_ms=100)


def refuse() -> None:
    raise KafkaError("refused")


async def test_a_producer_whose_numbers_have_a_hole_is_replaced(broker: Broker) -> None:
    """As where a batch is numbered and given up unsent: the broker refuses whatever follows, for ever."""
    topic = "renewed-hole"
    installation = await made(broker, topic)
    async with renewed_producer(installation) as producer, clients.reader(installation) as reader:
        await write(producer, topic, b"1")
        producer._generation.producer._txn_manager.increment_sequence_number(TopicPartition(topic, 0), 7)
        with pytest.raises(KafkaError):
            await write(producer, topic, b"2")
        await write(producer, topic, b"3")
        reader.assign([TopicPartition(topic, 0)])
        assert await read(reader, 2) == [b"1", b"3"]


@pytest.mark.parametrize("broken", TASKS)
async def test_a_worker_ends(broker: Broker, broken: str) -> None:
    """What its consumer has of the group, another worker takes over: it would have to give back what it cannot."""
    async with Harness(broker, f"ends-{broken}.") as harness, harness.worker("classify") as worker:
        await eventually(lambda: worker.ready)
        (source,) = worker.sources
        await end(TASKS[broken](source._consumer))
        await eventually(lambda: worker.app.crashed)
        assert isinstance(worker.app.crash_reason, ConsumerBroken)
