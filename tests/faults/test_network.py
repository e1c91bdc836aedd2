"""A network that cuts, delays, throttles or swallows costs time, and nothing else."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

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
