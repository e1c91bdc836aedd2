"""A broker with two doors: tests use the plain one, workers the one that leads through a proxy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from tests.conftest import SHORT_SESSIONS

from .proxy import Proxy


class Gate:
    """`broker` advertises to those who come through the proxy only the proxy, so that they never get round it."""

    def __init__(self, folder: Path, properties: Mapping[str, str] | None = None) -> None:
        plain, controller = free_port(), free_port()
        self._port, self._target = free_port(), free_port()
        self.environment = {"NPSFLOW_BROKERS": f"{HOST}:{self._port}"}
        """Variables with which a worker comes this way."""
        listeners = {
            "listeners": f"PLAINTEXT://{HOST}:{plain},GATE://{HOST}:{self._target},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},GATE://{HOST}:{self._port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,GATE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
        }
        self.broker = Broker(folder, plain, SHORT_SESSIONS | listeners | dict(properties or {}), brief=True)

    def proxy(self) -> Proxy:
        """To be opened; one at a time."""
        return Proxy(self._port, self._target)


@contextmanager
def opened(folder: Path) -> Iterator[Gate]:
    """One with a running broker."""
    fetch_kafka(print)
    gate = Gate(folder)
    gate.broker.start()
    try:
        yield gate
    finally:
        gate.broker.stop()
