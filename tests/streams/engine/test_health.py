"""A process is neither ready nor live when it has heard nothing from Kafka for longer than it should."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.streams.engine.health import LIVE_SECONDS, Health
from npsflow.streams.engine.kafka.contact import Contact


@pytest.mark.parametrize(
    ("silent", "ready", "live"),
    [
        (0.0, {"status": "ready"}, {"status": "live"}),
        (10.0, {"status": "ready"}, {"status": "live"}),
        (
            11.2,
            {"status": "Kafka is away", "silent_seconds": 11, "limit_seconds": 10.0, "setting": "NPSFLOW_SESSION_MS"},
            {"status": "live"},
        ),
        (
            LIVE_SECONDS + 1,
            {"status": "Kafka is away", "silent_seconds": 301, "limit_seconds": 10.0, "setting": "NPSFLOW_SESSION_MS"},
            {"status": "Kafka is away", "silent_seconds": 301, "limit_seconds": 300.0},
        ),
    ],
)
def test_silence_is_said_with_its_limit(silent: float, ready: dict[str, Any], live: dict[str, Any]) -> None:
    health = Health(lambda: True, "reading", 10.0, lambda: silent)
    assert health.readiness() == (silent <= 10, ready)
    assert health.liveness() == (silent <= LIVE_SECONDS, live)


def test_what_it_still_does_is_said() -> None:
    assert Health(lambda: False, "reading", 10.0).readiness() == (False, {"status": "reading"})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_partition_that_is_silent_for_longest_counts() -> None:
    """The consumer is real and was never connected: the answers of a broker are set where aiokafka keeps them."""
    clock, tps = Clock(), [TopicPartition("t", 0), TopicPartition("t", 1)]
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    contact = Contact(consumer, "t", clock)
    clock.now += 7
    assert contact.silent_for() == 7  # it reads nothing, and has asked nobody

    consumer.assign(tps)
    assert contact.silent_for() == 0
    states = [consumer._subscription.subscription.assignment.state_value(tp) for tp in tps]  # noqa: SLF001
    for second in range(1, 6):
        clock.now += 1
        states[0].timestamp = second * 1000
        contact.silent_for()
    assert contact.silent_for() == 5
    assert [contact.silent_on(tp) for tp in tps] == [0, 5]

    states[1].timestamp = 1  # a clock that was set back changes nothing
    assert contact.silent_for() == 0
    clock.now += 3
    consumer.pause(*tps)
    assert contact.silent_for() == 3
    await consumer.stop()


async def test_without_a_partition_kafka_is_asked_and_its_silence_is_seen() -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    clock = Clock()
    contact = Contact(consumer, "t", clock)
    keeping = asyncio.create_task(contact.keep())
    await asyncio.sleep(0)
    clock.now += 42
    assert contact.silent_for() == 42
    keeping.cancel()
    await asyncio.wait([keeping])
    await consumer.stop()
