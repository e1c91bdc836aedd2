"""A guarded client gets over what leaves aiokafka's own broken, and pauses before it asks again in vain."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v1

from npsflow.agents.runtime.event_loop import Loop
from npsflow.streams.engine.kafka.guarded_client import PAUSE, guard
from tests.support.waiting import eventually

from .standin import HOST, StandIn

SECONDS = 0.5
TURNS = range(20)
"""Of the event loop, after a reset: at one of them the connection is closed and its reader does not know it yet."""

guarding = pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "as aiokafka has it"])


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
    guard(client)
    assert await client.ask(set()) <= SECONDS / PAUSE + 1


@pytest.mark.parametrize(("leader", "pauses"), [(-1, True), (1, False)])
async def test_answers(leader: int, pauses: bool) -> None:
    """Of a partition without a leader, and of one that has one, when there is nothing to wait for."""
    topic = (0, "t", False, [(0, 0, leader, [1], [1])])
    client = Client(MetadataResponse_v1(brokers=[(1, "127.0.0.1", 1, None)], controller_id=1, topics=[topic]))
    guard(client)
    assert (await client.ask({"t"}) <= SECONDS / PAUSE + 1) is pauses


@asynccontextmanager
async def connected(broker: StandIn, guarded: bool, **options: Any) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{broker.port}", **options)
    if guarded:
        guard(client)
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


@guarding
def test_a_reset_does_not_end_the_updates(guarded: bool) -> None:
    """With uvloop aiokafka's own task ends, and all that waits for metadata waits for ever."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(outlives_resets(guarded)) is guarded


async def outlives_resets(guarded: bool) -> bool:
    async with StandIn() as broker, connected(broker, guarded) as client:
        for turns in TURNS:
            await client.force_metadata_update()
            broker.reset()
            for _ in range(turns):
                await asyncio.sleep(0)
            ended, updated = client._sync_task, client.force_metadata_update()
            await asyncio.wait([ended, updated], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                assert type(ended.exception()) is RuntimeError
                client._sync_task = None  # it would raise again at the end
                return False
    return True


@guarding
async def test_topics_that_change_while_metadata_are_on_their_way_are_asked_for(guarded: bool) -> None:
    """Woken by time, aiokafka goes back to sleep and leaves pending what everybody waits for."""
    async with StandIn() as broker, connected(broker, guarded, metadata_max_age_ms=50) as client:
        await client.set_topics(["a"])
        broker.may_answer.clear()
        before = len(broker.asked)
        await eventually(lambda: len(broker.asked) > before)
        client._metadata_max_age_ms = 300_000
        updated = client.set_topics(["b"])
        count = len(broker.asked)
        broker.may_answer.set()
        if guarded:
            await updated
            assert broker.asked[count:] == [{"b"}]
        else:
            await answered(broker, client)
            assert not updated.done()
            assert not client._md_update_waiter.done()


async def answered(broker: StandIn, client: AIOKafkaClient) -> None:
    """Return when everything that was asked for is answered, and the client has taken it in."""
    (connection,) = client._conns.values()
    await eventually(lambda: not connection._requests)
    for _ in TURNS:
        await asyncio.sleep(0)


@guarding
async def test_metadata_come_on_another_connection_where_one_has_gone_silent(guarded: bool) -> None:
    """aiokafka asks on the silent one for as long as nothing else is asked there."""
    async with StandIn() as broker, connected(broker, guarded, request_timeout_ms=100) as client:
        await client.force_metadata_update()
        broker.answering = False
        assert not await client.force_metadata_update()
        before = broker.connections
        assert await client.force_metadata_update() is guarded
        assert (broker.connections > before) is guarded
