"""Every process by every fault of one of three brokers: nothing is lost, and all work again within half a minute.

One fault is done to all processes at once, each of which is a cell of the matrix, and has a line in the summary.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from npsflow.schemas import topics
from tests.support.waiting import eventually

from .fleet import CONTINUES, Fleet, fleet
from .nodes import EXPIRES, Nodes, three_nodes
from .proxy import Api
from .scenario import REPORTS

LEADERLESS = 90
"""Longer than any time-out of a client."""

FROZEN = int(os.environ.get("NPSFLOW_TEST_FROZEN_SECONDS", "60"))
KILLED = 15

Fault = Callable[[Fleet, Nodes], Awaitable[None]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with three_nodes(tmp_path_factory.mktemp("nodes")) as cluster:
        yield cluster


async def leaderless(fleet: Fleet, cluster: Nodes) -> None:
    """Stopped in good order for 90 s: what it leads has no leader, and the other two say so."""
    node = cluster.nodes[1]
    await asyncio.to_thread(node.stop)
    await asyncio.sleep(LEADERLESS)  # how long the fault lasts
    await asyncio.to_thread(node.start)


async def killed(fleet: Fleet, cluster: Nodes) -> None:
    node = cluster.nodes[2]
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(KILLED)
    await asyncio.to_thread(node.start)


async def frozen(fleet: Fleet, cluster: Nodes) -> None:
    """Nothing answers, and nothing is closed."""
    node = cluster.nodes[1]
    node.freeze()
    await asyncio.sleep(FROZEN)
    node.thaw()


async def expired(fleet: Fleet, cluster: Nodes) -> None:
    """Nothing is sent until the brokers have forgotten every producer, and every transactional id."""
    fleet.load.clear()
    await asyncio.sleep(3 * EXPIRES)
    fleet.load.set()


async def made_anew(fleet: Fleet, cluster: Nodes) -> None:
    """The topics that processes read from their beginning, and hold in memory."""
    names = [fleet.harness.installation.topic(name) for name in (topics.CASES, topics.FETCHES, topics.NOTIFY_LOG)]
    admin = fleet.harness.admin
    await admin.delete_topics(names)

    async def made() -> bool:
        answer = await admin.create_topics(
            [NewTopic(name, 4, 1, topic_configs={"cleanup.policy": "compact"}) for name in names]
        )
        return all(code in (0, 36) for _, code, *_ in answer.topic_errors)

    await eventually(made)


@pytest.mark.parametrize("fault", [leaderless, killed, frozen, expired, made_anew], ids=lambda fault: fault.__name__)
async def test_all_are_at_work_again(cluster: Nodes, tmp_path: Path, fault: Fault) -> None:
    async with fleet(cluster, f"{fault.__name__}.", tmp_path) as running:
        await fault(running, cluster)
        await judge(running, fault.__name__)


async def test_connections_cut_in_mid_request(cluster: Nodes, tmp_path: Path) -> None:
    """Of every process, at every broker: answers are lost, then all connections at once."""
    async with AsyncExitStack() as stack:
        proxies = await cluster.proxies(stack)
        async with fleet(cluster, "cut.", tmp_path, {"NPSFLOW_BROKERS": cluster.gates}) as running:
            for _ in range(3):
                for proxy in proxies:
                    proxy.lose(Api.PRODUCE, what="answer")
                    proxy.lose(Api.PRODUCE, what="request")
                await eventually(lambda: all(proxy.lost[Api.PRODUCE] for proxy in proxies))
                for proxy in proxies:
                    assert proxy.cut()
            await judge(running, "cut in mid-request")


async def judge(running: Fleet, fault: str) -> None:
    """Each process is a cell."""
    seconds = await running.at_work()
    wrong = await running.settle()
    for name, back in seconds.items():
        REPORTS.append(f"{fault:<20} {name:<8} at work again after {back:5.1f} s")
    lost = sum("lost" in text for text in wrong)
    REPORTS.append(f"{fault:<20} lost {lost}  other {len(wrong) - lost}  messages sent again {running.repeated}")
    print(*REPORTS[-6:], sep="\n")
    assert not wrong, "\n".join(wrong[:20])
    assert {name: back for name, back in seconds.items() if back > CONTINUES} == {}
