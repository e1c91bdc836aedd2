"""Fixtures that all tests share, what they are marked by, and the order in which they run."""

import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from tests.support.waiting import SECONDS

hypothesis.settings.register_profile("few", max_examples=20)  # of `make coverage`: which lines run, few examples tell

PURE = {Path(__file__).parent / folder for folder in ("schemas", "streams", "agents/notify", "agents/platforms")}
"""Where the tests are that cover the pure packages."""

BROKERS = {"broker", "own_broker", "secured"}
"""Fixtures that are, or start, a real Kafka."""

SHORT_SESSIONS = {"group.min.session.timeout.ms": "1000"}
"""Setting of a broker whose groups may notice a lost member after one second."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One real Kafka for the whole session, started by the first test that asks for it.

    Tests keep apart by topic and group names of their own.
    """
    fetch_kafka(print)
    kafka = Broker(tmp_path_factory.mktemp("kafka"), free_port(), SHORT_SESSIONS, brief=True)
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def kafka_admin(broker: Broker) -> AdminClient:
    """The client that looks which topics there are, and deletes some."""
    return AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})


@pytest.fixture(autouse=True)
def _topics_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who asks for a topic is given all: with those of the tests before it, a test cost several times as much.

    What a fixture of a module has made stays.
    """
    if "broker" not in request.fixturenames:
        yield
        return
    client: AdminClient = request.getfixturevalue("kafka_admin")
    before = client.list_topics(timeout=SECONDS).topics.keys()
    yield
    made = [name for name in client.list_topics(timeout=SECONDS).topics if name not in before and name[:2] != "__"]
    for deleted in client.delete_topics(made).values() if made else ():
        deleted.result(SECONDS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark what needs a broker, and what tests the pure packages, before `-m` chooses; then set the order."""
    for item in items:
        if BROKERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker("broker")
        elif PURE & {*item.path.parents} and not any(map(item.get_closest_marker, ("faults", "long"))):
            item.add_marker("pure")
    yield
    if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = shared_out(items, processes)


def shared_out(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """In the order for pytest-xdist, which cuts it in as many equal parts, one for each process, and begins with these.

    Each part begins with tests that need a broker, those of `tests/broker` and `tests/faults` first: at the end, when a
    process takes over what another has left, it is short tests. What needs the secured broker is all in the first part:
    one process starts it.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("broker"):
            files.setdefault(item.path, []).append(item)
    parts: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, path in enumerate(sorted(files, key=lambda path: (path.parent.name not in ("broker", "faults"), path))):
        secured = any("secured" in getattr(item, "fixturenames", ()) for item in files[path])
        parts[0 if secured else number % processes] += files[path]
    quick = [item for item in items if not item.get_closest_marker("broker")]
    for number, part in enumerate(parts):
        size = (number + 1) * len(items) // processes - number * len(items) // processes - len(part)
        part += quick[: max(0, size)]
        del quick[: max(0, size)]
    return [*itertools.chain.from_iterable(parts), *quick]
