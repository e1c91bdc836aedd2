"""Three brokers without replication: what one of them leads has no leader while it is away, and the others answer on.

The first is the controller, too, and has to stay. Each has two doors, see gate.py.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from tests.conftest import SHORT_SESSIONS

from .proxy import Proxy

_PROTOCOLS = "PLAINTEXT:PLAINTEXT,GATE:PLAINTEXT,CONTROLLER:PLAINTEXT"
EXPIRES = 15
"""Seconds after which brokers forget producers and transactional ids that do nothing."""


class Node(Broker):
    """One of the brokers; `controller` is where the first one is the controller."""

    def __init__(self, folder: Path, number: int, cluster: str, controller: str) -> None:
        plain = free_port()
        self.gate, self._target, self._cluster, self._first = free_port(), free_port(), cluster, number == 1
        own = f",CONTROLLER://{controller}" if self._first else ""
        properties = SHORT_SESSIONS | {
            "node.id": str(number),
            "process.roles": "broker,controller" if self._first else "broker",
            "listeners": f"PLAINTEXT://{HOST}:{plain},GATE://{HOST}:{self._target}{own}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},GATE://{HOST}:{self.gate}",
            "listener.security.protocol.map": _PROTOCOLS,
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.quorum.bootstrap.servers": controller,
            "producer.id.expiration.ms": str(EXPIRES * 1000),
            "producer.id.expiration.check.interval.ms": "1000",
            "transactional.id.expiration.ms": str(EXPIRES * 1000),
            "transaction.remove.expired.transaction.cleanup.interval.ms": "1000",
        }
        super().__init__(folder, plain, properties, brief=True)

    def _format(self) -> None:
        role = "--standalone" if self._first else "--no-initial-controllers"
        arguments = ["format", role, f"--cluster-id={self._cluster}", "--config=server.properties"]
        self.tool("kafka.tools.StorageTool", *arguments)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def proxy(self) -> Proxy:
        """To be opened; one at a time."""
        return Proxy(self.gate, self._target)


class Nodes:
    """The cluster."""

    def __init__(self, folder: Path) -> None:
        controller, cluster = f"{HOST}:{free_port()}", uuid4().hex[:22]
        self.nodes = [Node(folder / str(number), number, cluster, controller) for number in (1, 2, 3)]

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def gates(self) -> str:
        """Its addresses through the proxies."""
        return ",".join(f"{HOST}:{node.gate}" for node in self.nodes)

    async def proxies(self, stack: AsyncExitStack) -> list[Proxy]:
        """One before each, open as long as the stack is."""
        return [await stack.enter_async_context(node.proxy()) for node in self.nodes]


@contextmanager
def three_nodes(folder: Path) -> Iterator[Nodes]:
    """Running ones."""
    fetch_kafka(print)
    cluster = Nodes(folder)
    try:
        for node in cluster.nodes:
            node.start()
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.kill()


def stopped(node: Node, how: str) -> "asyncio.Future[None]":
    """Stop or kill it without holding up the loop."""
    return asyncio.ensure_future(asyncio.to_thread(node.stop if how == "stopped" else node.kill))
