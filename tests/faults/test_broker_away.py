"""The broker stops, is killed, stays away, or is not there yet: workers wait for it, and all comes out once."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker
from tests.broker.harness import Process
from tests.support.waiting import eventually

from .gate import Gate, opened
from .proxy import Api, Proxy, transactional_id
from .scenario import PATIENCE, Scenario

AWAY = 70
SESSION_MS = 6_000


def scenario(broker: Broker, prefix: str, folder: Path, fault: str) -> Scenario:
    return Scenario(broker, prefix, folder, fault, session_ms=SESSION_MS)


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_restarts(own_broker: Broker, tmp_path: Path, how: str) -> None:
    """Five times, with two workers."""
    async with scenario(own_broker, f"{how}.", tmp_path, f"broker {how} and started again") as load:
        for _ in range(2):
            load.worker()
        for _ in range(5):
            await load.committed(300)
            load.injected()
            await asyncio.to_thread(own_broker.stop if how == "stopped" else own_broker.kill)
            await asyncio.to_thread(own_broker.start)
            await eventually(load.recovered, PATIENCE)


async def test_killed_while_it_commits(tmp_path: Path) -> None:
    """At the moment when it has decided and begins to write so in all partitions, and the worker with it.

    The next worker has to settle what the broker leaves undone, see streams/engine/kafka/hanging_transactions.py.
    """
    with opened(tmp_path / "kafka") as gate:
        async with (
            gate.proxy() as proxy,
            scenario(gate.broker, "decided.", tmp_path, "all killed between decision and markers") as load,
        ):
            worker = load.worker(**gate.environment)
            for number in range(1, 6):
                await decided_and_killed(gate, proxy, load, worker, number)
                worker = load.worker(**gate.environment)
                await eventually(load.recovered, PATIENCE)


@pytest.mark.parametrize("moment", [Api.INIT_PRODUCER_ID, Api.ADD_PARTITIONS_TO_TXN])
async def test_next_owner_killed_before_it_has_settled(tmp_path: Path, moment: Api) -> None:
    """The same, and the next owner of that task is killed as soon as the broker has done what it asks for first.

    By then the broker has forgotten how the old transaction was decided.
    """
    with opened(tmp_path / "kafka") as gate:
        async with (
            gate.proxy() as proxy,
            scenario(gate.broker, "unsettled.", tmp_path, f"and the next worker killed at {moment.name}") as load,
        ):
            worker = load.worker(**gate.environment)
            for number in range(1, 4):
                await decided_and_killed(gate, proxy, load, worker, number)
                worker = load.worker(**gate.environment)
                proxy.at_loss = worker.kill
                before = proxy.lost[moment]
                proxy.lose(moment, of=transactional_id(proxy.last_lost))
                await eventually(partial(lost, proxy, before + 1, moment))
                proxy.at_loss = None
                worker = load.worker(**gate.environment)
                await eventually(load.recovered, PATIENCE)


async def test_killed_when_it_has_answered(tmp_path: Path) -> None:
    """The worker goes on: it knows that its commit is decided, and not that its end is missing in some partitions.

    It is killed before its next commit is decided. Had that begun already, its abort would take along what was
    committed before.
    """
    with opened(tmp_path / "kafka") as gate:
        async with (
            gate.proxy() as proxy,
            scenario(gate.broker, "answered.", tmp_path, "killed between answer and markers") as load,
        ):
            worker = load.worker(**gate.environment)
            for number in range(1, 4):
                await load.committed(100)
                decided = asyncio.get_running_loop().create_future()

                def answered(api: Api, request: bytes, decided: asyncio.Future[bytes] = decided) -> None:
                    if api is Api.END_TXN and not decided.done():
                        gate.broker.kill()
                        decided.set_result(transactional_id(request))

                proxy.at_answer, proxy.at_loss = answered, worker.kill
                proxy.lose(Api.END_TXN, what="request", of=await decided)
                proxy.at_answer = None
                load.injected()
                await asyncio.to_thread(gate.broker.start)
                await eventually(partial(lost, proxy, number))
                worker = load.worker(**gate.environment)
                await eventually(load.recovered, PATIENCE)


async def decided_and_killed(gate: Gate, proxy: Proxy, load: Scenario, worker: Process, number: int) -> None:
    """Kill broker and worker when it has decided a commit for the `number`th time, and start the broker again."""
    await load.committed(100)
    proxy.at_loss = partial(kill, gate.broker, worker)
    proxy.lose(Api.END_TXN)
    await eventually(partial(lost, proxy, number))
    load.injected()
    await asyncio.to_thread(gate.broker.start)


def kill(*victims: Broker | Process) -> None:
    for victim in victims:
        victim.kill()


async def lost(proxy: Proxy, times: int, api: Api = Api.END_TXN) -> bool:
    return proxy.lost[api] == times


async def test_away_for_long(own_broker: Broker, tmp_path: Path) -> None:
    """Longer than any time-out of a request, a session or a transaction; the same workers go on."""
    async with scenario(own_broker, "away.", tmp_path, f"broker away for {AWAY} s") as load:
        workers = [load.worker() for _ in range(2)]
        await load.committed(300)
        load.injected()
        await asyncio.to_thread(own_broker.kill)
        await asyncio.to_thread(time.sleep, AWAY)  # how long the fault lasts
        await asyncio.to_thread(own_broker.start)
        await load.committed(300)
        assert [worker.running for worker in workers] == [True, True]


async def test_away_at_the_start(own_broker: Broker, tmp_path: Path) -> None:
    """All workers are killed while it is away, and others start before it is back: they wait for it."""
    async with scenario(own_broker, "start.", tmp_path, "workers killed and started while the broker is away") as load:
        workers = [load.worker() for _ in range(2)]
        for _ in range(3):
            await load.committed(300)
            load.injected()
            await asyncio.to_thread(own_broker.kill)
            for worker in workers:
                worker.kill()
            workers = [load.worker() for _ in range(2)]
            for worker in workers:
                await eventually(partial(waiting, worker))
            await asyncio.to_thread(own_broker.start)


async def waiting(worker: Process) -> bool:
    return worker.output.startswith("Waiting: reach: no Kafka broker answers")
