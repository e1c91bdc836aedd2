"""A network that cuts, delays, throttles or swallows costs time, and nothing else."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaConnectionError
from msgspec.structs import replace

from npsflow.agents.kafka import clients, reading
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.admin import leaders_of
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import client_of
from npsflow.streams.engine.kafka.guarded_producer import GuardedProducer
from npsflow.streams.engine.kafka.hanging_transactions import find_open
from npsflow.streams.engine.observer import Observer
from npsflow.streams.engine.transaction import Transaction
from npsflow.streams.topology import make_stage
from tests.support.waiting import eventually

from .gate import Gate, opened
from .proxy import Api, Proxy
from .scenario import PATIENCE, Scenario

SESSION_MS = 6_000


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with opened(tmp_path_factory.mktemp("kafka")) as gate:
        yield gate


def scenario(gate: Gate, prefix: str, folder: Path, fault: str) -> Scenario:
    return Scenario(gate.broker, prefix, folder, fault, session_ms=SESSION_MS)


async def test_connections_cut(gate: Gate, tmp_path: Path) -> None:
    async with gate.proxy() as proxy, scenario(gate, "cut.", tmp_path, "all connections cut") as load:
        load.worker(**gate.environment)
        for _ in range(10):
            await load.committed(100)
            assert proxy.cut() > 0
            load.injected()


async def test_delay(gate: Gate, tmp_path: Path) -> None:
    """200 ms each way: a commit of five round trips takes two seconds."""
    async with gate.proxy() as proxy, scenario(gate, "delayed.", tmp_path, "200 ms each way") as load:
        load.worker(**gate.environment)
        await load.committed(100)
        proxy.delay = 0.2
        load.injected()
        await load.committed(3_000)


async def test_throttled(gate: Gate, tmp_path: Path) -> None:
    """Slower than the load for a while."""
    async with gate.proxy() as proxy, scenario(gate, "throttled.", tmp_path, "100 kB/s") as load:
        load.worker(**gate.environment)
        await load.committed(100)
        proxy.rate = 100_000.0
        load.injected()
        await load.committed(1_000)
        proxy.rate = float("inf")


@pytest.mark.parametrize("everything", [False, True], ids=["old", "all"])
async def test_half_open(gate: Gate, tmp_path: Path, everything: bool) -> None:
    """Connections stay and swallow what is sent: those there are, or also all that are made for ten seconds."""
    name, fault = ("all.", "new connections too for 10 s") if everything else ("old.", "all connections")
    async with (
        gate.proxy() as proxy,
        scenario(gate, f"half-open-{name}", tmp_path, f"half-open, bytes swallowed: {fault}") as load,
    ):
        load.worker(**gate.environment)
        for _ in range(2):
            await load.committed(100)
            proxy.swallowing = everything
            assert proxy.swallow() > 0
            load.injected()
            if everything:
                await asyncio.sleep(10)  # how long the fault lasts
                proxy.swallowing = False


@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("api", list(Api), ids=lambda api: api.name.lower())
async def test_lost_in_a_commit(gate: Gate, tmp_path: Path, api: Api, what: Literal["request", "answer"]) -> None:
    """The connection is cut before the broker hears of it, or after it has acted and before the worker hears of it."""
    prefix = f"{what}-{api.name.lower()}."
    async with gate.proxy() as proxy, scenario(gate, prefix, tmp_path, f"{api.name}: {what} lost") as load:
        worker = None
        for number in range(1, 6):
            proxy.lose(api, what=what)
            if worker is None or api is Api.INIT_PRODUCER_ID:  # which is asked when a worker gets its tasks
                if worker is not None:
                    worker.kill()
                worker = load.worker(**gate.environment)
            await eventually(partial(lost, proxy, api, number), PATIENCE)
            load.injected()
            await load.committed(100)


async def test_one_send_times_out(gate: Gate, tmp_path: Path) -> None:
    """Neither an answer nor an end of the connection, for one request among many; the rest of the network is well."""
    async with gate.proxy() as proxy, scenario(gate, "silent.", tmp_path, "one send is never answered") as load:
        load.worker(**gate.environment)
        for number in (1, 2):
            await load.committed(100)
            proxy.lose(Api.PRODUCE, silently=True)
            await eventually(partial(lost, proxy, Api.PRODUCE, number), PATIENCE)
            load.injected()


async def lost(proxy: Proxy, api: Api, times: int) -> bool:
    return proxy.lost[api] == times


async def test_no_transaction_begins_on_a_connection_that_nobody_has_vouched_for(gate: Gate) -> None:
    """The broker may have been restarted, and have left out ends of the transaction before: see guarded_producer.py."""
    plain = Installation(gate.broker.bootstrap, "vouched.")
    async with gate.proxy() as proxy, clients.admin(plain) as admin:
        await admin.create_topics([NewTopic("vouched.topic", 1, 1)])
        tp = TopicPartition("vouched.topic", 0)
        through = replace(plain, brokers=gate.environment["NPSFLOW_BROKERS"])
        context = Context(make_stage("rollup", Settings(), through), through, EngineSettings(), Observer())
        leaders = await leaders_of(client_of(admin), [tp.topic])
        under_test, other = Transaction(context, 0, leaders), GuardedProducer(plain, "vouched.other")

        async def commit(value: bytes) -> None:
            batch = under_test.producer.create_batch()
            batch.append(timestamp=0, key=None, value=value, headers=[])
            await under_test.commit([(tp, batch)], {tp: 0})

        await under_test.start()
        await other.start()
        try:
            await commit(b"first")
            proxy.cut()
            await eventually(lambda: not under_test.producer.vouched)
            await commit(b"after a look")

            proxy.lose(Api.ADD_PARTITIONS_TO_TXN, what="request")
            with pytest.raises(KafkaConnectionError, match="may have been restarted"):
                await commit(b"sent again by the client")
            assert await find_open(client_of(admin), leaders) == []

            await under_test.stop()
            under_test = Transaction(context, 0, leaders)
            await under_test.start()
            await other.begin_transaction()
            await other.send_and_wait(tp.topic, b"never ended")
            proxy.cut()
            await eventually(lambda: not under_test.producer.vouched)
            with pytest.raises(KafkaConnectionError, match="a transaction is open"):
                await commit(b"not begun")
            await other.abort_transaction()
            await eventually(partial(_closed, client_of(admin), leaders))
            assert [r.value async for r in reading.committed_records(plain, "topic")] == [b"first", b"after a look"]
        finally:
            await under_test.stop()
            await other.stop()


async def _closed(client: Any, leaders: Mapping[TopicPartition, int]) -> bool:
    return not await find_open(client, leaders)
