"""Clients that ask in vain pause before they ask again."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v1

from npsflow.streams.engine.kafka.metadata_backoff import PAUSE, back_off_metadata

SECONDS = 0.5


async def asked(client: AIOKafkaClient, topics: set[str]) -> int:
    """How often it asks while somebody urges it on for a while."""
    count, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        await client._metadata_update(client.cluster, topics)
        count += 1
        await asyncio.sleep(0)
    return count


@pytest.fixture
async def client() -> AIOKafkaClient:
    return AIOKafkaClient(bootstrap_servers="127.0.0.1:1")


async def test_nobody_answers(client: AIOKafkaClient) -> None:
    back_off_metadata(client)
    assert await asked(client, set()) <= SECONDS / PAUSE + 1


@pytest.mark.parametrize(("leader", "is_calm"), [(-1, True), (1, False)])
async def test_answers(client: AIOKafkaClient, leader: int, is_calm: bool) -> None:
    """Of a partition without a leader, and of one that has one, when there is nothing to wait for."""
    topic = (0, "t", False, [(0, 0, leader, [1], [1])])
    metadata = MetadataResponse_v1(brokers=[(1, "127.0.0.1", 1, None)], controller_id=1, topics=[topic])

    async def answered(cluster: object, topics: object) -> bool:
        client.cluster.update_metadata(metadata)
        return True

    client._metadata_update = answered
    back_off_metadata(client)
    assert (await asked(client, {"t"}) <= SECONDS / PAUSE + 1) is is_calm
