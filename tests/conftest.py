"""Fixtures that all tests share."""

from collections.abc import Iterator

import hypothesis
import pytest

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port

hypothesis.settings.register_profile("few", max_examples=20)  # of `make coverage`: which lines run, few examples tell

SHORT_SESSIONS = {"group.min.session.timeout.ms": "1000"}
"""Setting of a broker whose groups may notice a lost member after one second."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One real Kafka for the whole session, started by the first test that asks for it.

    Tests keep apart by topic and group names of their own.
    """
    fetch_kafka(print)
    kafka = Broker(tmp_path_factory.mktemp("kafka"), free_port(), SHORT_SESSIONS)
    kafka.start()
    yield kafka
    kafka.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")
