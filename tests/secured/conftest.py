"""Fixtures of the tests against a Kafka that asks for TLS, a login and permissions."""

from collections.abc import Iterator

import pytest

from npsflow.agents.broker import fetch_kafka

from .secured import Secured


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One secured Kafka for the whole session, started by the first test that asks for it."""
    fetch_kafka(print)
    made = Secured(tmp_path_factory.mktemp("secured"))
    made.broker.start()
    yield made
    made.broker.stop()
