"""What the broker refuses: a batch that is too large, a topic that is missing, a topic without permission."""

import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.schemas.topics import FOLLOW_UP, PANES, SERVICE_RECOVERY, WINDOWS
from tests.broker.harness import SECONDS, Process
from tests.broker.test_operating import command
from tests.conftest import SHORT_SESSIONS
from tests.support.waiting import eventually

from .scenario import PATIENCE, Scenario

OFTEN = 12
"""So many refusals show that a worker tries again, and how fast: of four tasks each has met with some."""

CALM = 2.0
"""Refusals a second that are few, with pauses that grow to 5 s."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that knows permissions, and where everything is allowed that is not forbidden."""
    fetch_kafka(print)
    guard = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    kafka = Broker(tmp_path_factory.mktemp("kafka"), free_port(), SHORT_SESSIONS | guard, brief=True)
    kafka.start()
    yield kafka
    kafka.stop()


class Operator:
    """Who sets topics up: takes away and gives back."""

    def __init__(self, load: Scenario) -> None:
        self._harness, self._installation = load.harness, load.harness.installation
        self._admin = AdminClient({"bootstrap.servers": self._installation.brokers})

    def limit(self, topic: str, size: int) -> None:
        """Of one batch on a topic, in bytes."""
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self._installation.topic(topic), incremental_configs=[entry])
        self._done(self._admin.incremental_alter_configs([resource]))

    def delete(self, topic: str) -> None:
        self._done(self._admin.delete_topics([self._installation.topic(topic)]))

    async def create(self) -> None:
        """What `npsflow topics create` does: all that are missing."""
        created = await command(self._harness, "topics", "create")
        assert created.returncode == 0, created.stderr

    def forbid(self, topic: str, operation: AclOperation) -> None:
        self._done(self._admin.create_acls([AclBinding(*self._acl(topic, operation))]))

    def allow(self, topic: str, operation: AclOperation) -> None:
        self._done(self._admin.delete_acls([AclBindingFilter(*self._acl(topic, operation))]))

    def _acl(self, topic: str, operation: AclOperation) -> tuple[Any, ...]:
        name = self._installation.topic(topic)
        resource = ResourceType.TOPIC, name, ResourcePatternType.LITERAL
        return (*resource, "User:ANONYMOUS", "*", operation, AclPermissionType.DENY)

    def _done(self, futures: dict[Any, Any]) -> None:
        for future in futures.values():
            future.result(SECONDS)


async def refused(worker: Process, error: str, times: int = OFTEN) -> None:
    """Return when commits of the worker have failed so often, some of them with this error, and with pauses."""

    async def met() -> bool:
        return len(worker.logged("task dropped")) >= times

    await eventually(met, PATIENCE)
    assert any(error in line["error"] for line in worker.logged("task dropped"))
    assert drops(worker) < CALM


def drops(worker: Process) -> float:
    """How many tasks were dropped in a second, from the first to the last."""
    times = [datetime.fromisoformat(line["at"]) for line in worker.logged("task dropped")]
    return len(times) / (times[-1] - times[0]).total_seconds()


async def test_batch_too_large(broker: Broker, tmp_path: Path) -> None:
    """What cannot be written is tried again in growing pauses, until the limit is raised."""
    async with Scenario(broker, "large.", tmp_path, "output batch larger than the topic takes") as load:
        worker, operator = load.worker(), Operator(load)
        await load.committed(300)
        operator.limit(FOLLOW_UP, 500)
        load.injected()
        await refused(worker, "MessageSizeTooLargeError")
        operator.limit(FOLLOW_UP, 2 << 20)


async def test_no_permission(guarded: Broker, tmp_path: Path) -> None:
    async with Scenario(guarded, "forbidden.", tmp_path, "no permission to write to nps-windows") as load:
        worker, operator = load.worker(), Operator(load)
        await load.committed(300)
        operator.forbid(WINDOWS, AclOperation.WRITE)  # who may not write may not read either, and no stage reads it
        load.injected()
        await refused(worker, "TopicAuthorizationFailedError")
        operator.allow(WINDOWS, AclOperation.WRITE)


async def test_no_permission_to_read(guarded: Broker, tmp_path: Path) -> None:
    """The worker ends, and says which topic it was."""
    async with Scenario(guarded, "unread.", tmp_path, "no permission to read nps-panes") as load:
        worker, operator = load.worker(), Operator(load)
        await load.committed(300)
        operator.forbid(PANES, AclOperation.READ)
        load.injected()
        assert await worker.exit_status(PATIENCE) != 0
        assert "unread.nps-panes" in worker.output
        operator.allow(PANES, AclOperation.READ)
        load.worker()


async def test_input_topic_missing_at_the_start(broker: Broker, tmp_path: Path) -> None:
    async with Scenario(broker, "missing.", tmp_path, "nps-panes missing at the start") as load:
        operator = Operator(load)
        operator.delete(PANES)
        load.injected()
        worker = load.worker()
        assert await worker.exit_status() == 2
        todo = "run `npsflow topics create`, or check NPSFLOW_PREFIX"
        assert worker.output == f"Error: topic: there is no missing.nps-panes: {todo}\n"
        await operator.create()
        load.worker()


async def test_output_topic_deleted(broker: Broker, tmp_path: Path) -> None:
    """Nothing is committed without it. What was on it is gone; a rebuild writes that again, and nothing twice."""
    async with Scenario(broker, "deleted.", tmp_path, "output topic deleted under load, and rebuilt") as load:
        worker, operator = load.worker(), Operator(load)
        await load.committed(300)
        operator.delete(SERVICE_RECOVERY)
        load.injected()
        await refused(worker, "Error", times=12)  # all tasks at once, three times; which error, depends on the request
        worker.send(signal.SIGTERM)  # before anything new is on it: a rebuild takes what came before that as written
        await worker.exit_status()
        await operator.create()
        rebuilt = await command(load.harness, "rebuild", "--yes")
        assert rebuilt.returncode == 0, rebuilt.stderr
        load.worker()
