"""`npsflow check` tells of every kind of group that reads our topics: here is one of each, as Kafka 4.3 has them."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from npsflow.agents.broker.download import fetch_kafka, java_command
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness
from .streams_group import join_and_leave
from .test_check import commit

TOPIC = "service-recovery"


@contextmanager
def share_consumer(harness: CommandHarness, group: str) -> Iterator[None]:
    """Kafka's own console share consumer."""
    command = [*java_command(fetch_kafka(), "128m"), "org.apache.kafka.tools.consumer.ConsoleShareConsumer"]
    command += ["--bootstrap-server", harness.installation.brokers, "--group", group]
    command += ["--topic", harness.installation.topic(TOPIC)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_check_names_every_kind_of_group_that_reads_ours(harness: CommandHarness) -> None:
    topic, prefix = harness.installation.topic(TOPIC), harness.installation.prefix
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    producer.produce(topic, b"x", partition=0)
    producer.flush(SECONDS)
    settings = {"group.protocol": "consumer", "group.id": f"{prefix}newer", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": harness.installation.brokers, **settings})
    consumer.subscribe([topic])
    wait_until(lambda: consumer.poll(0.2) is not None)
    consumer.commit(asynchronous=False)
    asyncio.run(join_and_leave(harness.installation.brokers, f"{prefix}streams", topic))
    commit(harness, f"{prefix}streams", TOPIC, 1)
    commit(harness, f"{prefix}classic", TOPIC, 1)
    share, handed = f"{prefix}share", "is handed alerts that were aborted, and those of open transactions: "
    with share_consumer(harness, share):
        told = f"groups: share group {share} reads {topic} and {handed}kafka-configs.sh --alter"
        wait_until(lambda: any(text.startswith(told) for text in harness.checked()["warn"]))
    levels = harness.checked()
    for kind in "newer", "streams", "classic":
        assert f"groups: {prefix}{kind} reads {topic}, lag 0" in levels["ok"]
    consumer.close()

    set_isolation(harness, share)
    wait_until(lambda: f"groups: share group {share} reads {topic}, committed records only" in harness.checked()["ok"])


def set_isolation(harness: CommandHarness, group: str) -> None:
    """As the line of `check` says."""
    entry = ConfigEntry("share.isolation.level", "read_committed", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": harness.installation.brokers})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(SECONDS)
