"""Clients that ask in vain pause before they ask again."""

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v1

from npsflow.streams.engine.kafka.metadata_backoff import PAUSE, back_off_metadata

SECONDS = 0.5


class Client(AIOKafkaClient):  # type: ignore[misc]
    """One that is answered with `metadata`; without, nobody answers."""

    def __init__(self, metadata: MetadataResponse_v1 | None = None) -> None:
        super().__init__(bootstrap_servers="127.0.0.1:1")
        self._answer = metadata

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        if self._answer is None:
            answered: bool = await super()._metadata_update(cluster_metadata, topics)
            return answered
        self.cluster.update_metadata(self._answer)
        return True

    async def ask(self, topics: set[str]) -> int:
        """How often it asks while somebody urges it on for a while."""
        count, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            await self._metadata_update(self.cluster, topics)
            count += 1
            await asyncio.sleep(0)
        return count


async def test_nobody_answers() -> None:
    client = Client()
    back_off_metadata(client)
    assert await client.ask(set()) <= SECONDS / PAUSE + 1


@pytest.mark.parametrize(("leader", "pauses"), [(-1, True), (1, False)])
async def test_answers(leader: int, pauses: bool) -> None:
    """Of a partition without a leader, and of one that has one, when there is nothing to wait for."""
    topic = (0, "t", False, [(0, 0, leader, [1], [1])])
    client = Client(MetadataResponse_v1(brokers=[(1, "127.0.0.1", 1, None)], controller_id=1, topics=[topic]))
    back_off_metadata(client)
    assert (await client.ask({"t"}) <= SECONDS / PAUSE + 1) is pauses
