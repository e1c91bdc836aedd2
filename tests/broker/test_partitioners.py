"""Real clients with other partitioners: each response counts once, whoever corrects or deletes it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import reading
from npsflow.agents.operations import check
from npsflow.schemas import topics
from npsflow.streams.engine.kafka.clients import client_options
from tests.support.responses import response
from tests.support.waiting import eventually

from .harness import SECONDS, Harness

RESPONSES = 60


class Sent(NamedTuple):
    """One record as a producer makes it."""

    key: bytes
    value: bytes | None


Send = Callable[[Harness, Sequence[Sent]], Awaitable[None]]


async def librdkafka(harness: Harness, records: Sequence[Sent]) -> None:
    """By CRC32, as Python, Go, .NET, Node and kcat do unless they are told otherwise."""
    producer = Producer(harness.client)
    for record in records:
        producer.produce(harness.installation.topic(topics.RESPONSES), record.value, record.key)
    assert producer.flush(SECONDS) == 0


async def murmur2(harness: Harness, records: Sequence[Sent]) -> None:
    """Kafka's default partitioner, as aiokafka has it."""
    await _aiokafka(harness, records)


async def round_robin(harness: Harness, records: Sequence[Sent]) -> None:
    """One key in many partitions, as kafka-go does."""
    turn = count()
    await _aiokafka(harness, records, partitioner=lambda key, all_of_them, available: all_of_them[next(turn) % 4])


async def _aiokafka(harness: Harness, records: Sequence[Sent], **more: Any) -> None:
    async with AIOKafkaProducer(**client_options(harness.installation), **more) as producer:
        for record in records:
            await producer.send(harness.installation.topic(topics.RESPONSES), record.value, record.key)


def versions(turn: int, score: int, *, deleted: bool = False) -> list[Sent]:
    made = []
    for number in range(RESPONSES):
        fields = response(f"{number}-é", source="kiosk", score=score, updated_at=f"2026-03-01T15:0{turn}:00Z")
        key = f"kiosk/{fields['response_id']}".encode()
        made.append(Sent(key, json.dumps(fields | ({"deleted": True} if deleted else {})).encode()))
    return made


@pytest.mark.parametrize("clients", [(librdkafka, murmur2, round_robin), (murmur2, librdkafka, librdkafka)])
async def test_a_switch_of_clients_in_the_middle(broker: Broker, clients: tuple[Send, Send, Send]) -> None:
    """Unhappy, happy, unhappy, deleted: each by another client, or half by one and half by another."""
    async with Harness(broker, f"{clients[0].__name__}.".replace("_", "-")) as harness, harness.worker():
        first, second, third = clients
        await first(harness, versions(1, 2))
        await eventually(harness.finished)
        some = versions(2, 9)
        await second(harness, some[:30])
        await third(harness, some[30:])
        await eventually(harness.finished)
        assert {window["n"] for window in await whole(harness)} == {RESPONSES}
        await third(harness, versions(3, 3))
        await eventually(harness.finished)
        await second(harness, versions(4, 3, deleted=True)[: RESPONSES // 2])
        await eventually(harness.finished)

        assert await harness.differences() == []
        assert {window["n"] for window in await whole(harness)} == {RESPONSES // 2}
        raised = [event for event in await harness.events(topics.SERVICE_RECOVERY) if event.type.endswith("raised.v1")]
        assert len(raised) == len({event.value["alert_id"] for event in raised}) == RESPONSES
        counters = await reading.counters(harness.installation, "classify")
        assert counters["misplaced:kiosk"] > 0
        found = [finding async for finding in check.findings(harness.settings, harness.installation)]
        assert any("kiosk" in finding.text and "murmur2_random" in finding.text for finding in found)


async def whole(harness: Harness) -> list[dict[str, Any]]:
    """The windows of everything."""
    found = [json.loads(value) for value in (await harness.windows()).values()]
    return [window for window in found if not window["segment"] and window["window"] == "24h"]
