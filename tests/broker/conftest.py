"""Fixtures of the tests against a real Kafka."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker

from .command_harness import CommandHarness
from .secured import Secured


@pytest.fixture
def harness(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> CommandHarness:
    """An installation of its own, with topics."""
    made = CommandHarness(broker, re.sub(r"[\W_]+", "-", request.node.name) + ".", tmp_path)
    assert made.run("topics", "create").exit_code == 0
    return made


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One Kafka for the whole session that asks for TLS, a login and permissions; started by the first who needs it."""
    fetch_kafka(print)
    made = Secured(tmp_path_factory.mktemp("secured"))
    made.broker.start()
    yield made
    made.broker.stop()
