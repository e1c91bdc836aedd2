"""What docs/subscribe.md and docs/produce.md say of clients, for those that are here: aiokafka, librdkafka and Java."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from confluent_kafka import Consumer, Message, Producer

from npsflow.agents.broker.download import fetch_kafka, java_command
from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.engine.installation import Installation
from tests.docs import pages
from tests.support.waiting import wait_until

SECONDS = 60
COMMITTED: list[bytes | None] = [b"first", None, b"last"]
"""Values of the topic, of which the one in the middle is a tombstone; before it stands an aborted record."""
ABORTED: list[bytes | None] = [b"first", b"aborted", None, b"last"]


@pytest.fixture(scope="module")
def topic(broker: Broker) -> str:
    """A topic of one partition as npsflow writes it: in transactions, one of them aborted."""
    asyncio.run(create(broker, "clients", partitions=1))
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "clients"})
    producer.init_transactions(SECONDS)
    for end, values in ((True, [b"first"]), (False, [b"aborted"]), (True, [None, b"last"])):
        producer.begin_transaction()
        for value in values:
            producer.produce("clients", value, b"key")
        producer.flush(SECONDS)
        producer.commit_transaction(SECONDS) if end else producer.abort_transaction(SECONDS)
    return "clients"


async def create(broker: Broker, topic: str, partitions: int) -> None:
    async with clients.admin(Installation(broker.bootstrap)) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1)])


# Subscribers


class Seen(NamedTuple):
    """The values that a client was given, and the lags that its two ways to commit leave, where it has two."""

    values: list[bytes | None]
    lags: tuple[int, ...] = ()


async def aiokafka(broker: Broker, topic: str, settings: dict[str, str], expected: int) -> Seen:
    partition, lags = TopicPartition(topic, 0), []
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap, group_id=f"aiokafka-{len(settings)}", auto_offset_reset="earliest",
        enable_auto_commit=False, **settings,
    ) as consumer:  # fmt: skip
        records = [await asyncio.wait_for(consumer.getone(), SECONDS) for _ in range(expected)]
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:  # behind the last marker
            await consumer.getmany(timeout_ms=100)
        for offsets in (None, {partition: records[-1].offset + 1}):
            await consumer.commit(offsets)
            lags.append(end - (await consumer.committed(partition) or 0))
    return Seen([record.value for record in records], tuple(lags))


async def confluent(broker: Broker, topic: str, settings: dict[str, str], expected: int) -> Seen:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "confluent", "auto.offset.reset": "earliest"} | settings
        | {"enable.auto.commit": False, "enable.partition.eof": True}
    )  # fmt: skip
    consumer.subscribe([topic])
    found: list[Message] = []
    while (message := consumer.poll(SECONDS)) is not None and not message.error():  # the end is an error, too
        found.append(message)
    assert message is not None
    assert [bool(message) for message in found] == [True, False, True]  # what the page warns of
    _, end = consumer.get_watermark_offsets(consumer.assignment()[0])
    commits = consumer.commit(asynchronous=False), consumer.commit(message=found[-1], asynchronous=False)
    lags = [end - committed[0].offset for committed in commits]
    consumer.close()
    return Seen([message.value() for message in found], tuple(lags))


async def console(broker: Broker, topic: str, settings: dict[str, str], expected: int) -> Seen:
    options = [text for name, value in settings.items() for text in (f"--{name.replace('.', '-')}", value)]
    found = java(
        "consumer.ConsoleConsumer", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--from-beginning",
        "--max-messages", str(expected), "--timeout-ms", str(1000 * SECONDS), *options,
    )  # fmt: skip
    return Seen([None if line == b"null" else line for line in found.splitlines()])


def java(tool: str, *options: str, data: bytes = b"") -> bytes:
    command = [*java_command(fetch_kafka(), "128m"), f"org.apache.kafka.tools.{tool}", *options]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, timeout=SECONDS, check=True).stdout


Subscriber = Callable[[Broker, str, dict[str, str], int], Awaitable[Seen]]

SUBSCRIBERS: dict[str, Subscriber] = {
    "aiokafka": aiokafka,
    "confluent-kafka": confluent,
    "kafka-console-consumer": console,
}
HEAD = ["client", "aborted records by default", "to set", "tombstone", "lag at the end", "compression zstd"]


_OF_JAVA = ("Java", "kafka-console-consumer")


def row_of(page: str, head: list[str], client: str) -> list[str]:
    """The row of a client, of the version that is here."""
    here = fetch_kafka().name.split("-")[1] if client in _OF_JAVA else version(client)
    (row,) = (row for row in pages.rows(page, head) if f"{client} {here}" in row[0].split(", "))
    return row


def settings_of(cell: str) -> dict[str, str]:
    """A cell such as `isolation.level=read_committed`."""
    return dict(text.replace('"', "").split("=") for text in re.findall("`([^`]+)`", cell))


@pytest.mark.parametrize("client", SUBSCRIBERS)
async def test_subscribers_see_what_the_table_says(broker: Broker, topic: str, client: str) -> None:
    _, default, to_set, _, lag, _ = row_of("docs/subscribe.md", HEAD, client)
    by_default = COMMITTED if default == "hidden" else ABORTED
    assert (default, bool(to_set)) in (("hidden", False), ("delivered", True))
    seen = await SUBSCRIBERS[client](broker, topic, {}, len(by_default))
    assert seen.values == by_default
    assert seen.lags == tuple(map(int, re.findall(r"\d", lag)))[: len(seen.lags)]
    if to_set:
        assert (await SUBSCRIBERS[client](broker, topic, settings_of(to_set), len(COMMITTED))).values == COMMITTED


# Producers

KEYS = [f"shop/{name}-{number}" for name in ("r", "é", "x" * 130) for number in range(12)]


async def send_by_aiokafka(broker: Broker, topic: str, settings: dict[str, str]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **settings) as producer:
        for key in KEYS:
            await producer.send(topic, b"{}", key.encode())


async def send_by_confluent(broker: Broker, topic: str, settings: dict[str, str]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap} | settings)
    for key in KEYS:
        producer.produce(topic, b"{}", key)
    assert producer.flush(SECONDS) == 0


async def send_by_java(broker: Broker, topic: str, settings: dict[str, str]) -> None:
    lines = "".join(f"{key}\t{{}}\n" for key in KEYS).encode()
    where = ("--bootstrap-server", broker.bootstrap, "--topic", topic, "--property", "parse.key=true")
    java("ConsoleProducer", *where, data=lines)


Send = Callable[[Broker, str, dict[str, str]], Awaitable[None]]

PRODUCERS: dict[str, Send] = {
    "aiokafka": send_by_aiokafka,
    "confluent-kafka": send_by_confluent,
    "Java": send_by_java,
}


async def placed(broker: Broker, client: str, settings: dict[str, str]) -> int:
    """How many records are in the partition that murmur2 gives their key."""
    topic = f"placed-{client}-{len(settings)}"
    await create(broker, topic, partitions=4)
    await PRODUCERS[client](broker, topic, settings)
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        records = [await asyncio.wait_for(consumer.getone(), SECONDS) for _ in KEYS]
    return sum(record.partition == partition_of(record.key or b"", 4) for record in records)


@pytest.mark.parametrize("client", PRODUCERS)
async def test_producers_choose_the_partitions_that_the_table_says(broker: Broker, client: str) -> None:
    _, default, to_set = row_of("docs/produce.md", ["client", "default", "to set"], client)
    assert (await placed(broker, client, {}) == len(KEYS)) == (default == "murmur2")
    if to_set:
        assert await placed(broker, client, settings_of(to_set)) == len(KEYS)


# The programs of the pages


@contextmanager
def program(page: str, folder: Path, broker: Broker, written: str, topic: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program of a page, with the broker and a topic of the test in the place of what is written there."""
    (text,) = pages.blocks(page, "python")
    for old, new in (("127.0.0.1:9092", broker.bootstrap), (f'"{written}"', f'"{topic}"')):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "program.py").write_text(text)
    with (
        (folder / "output").open("wb") as output,
        subprocess.Popen([sys.executable, "-u", "program.py"], cwd=folder, stdout=output, env=os.environ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def test_the_program_of_the_page_keeps_a_table(broker: Broker, tmp_path: Path) -> None:
    await create(broker, "scores", partitions=1)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for key, value in ((b"a", b"{}"), (b"a", None), (b"b", b"{}"), (b"c", b"{}")):
            await producer.send_and_wait("scores", value, key)
    with program("docs/subscribe.md", tmp_path, broker, "nps-windows", "scores"):
        printed = b"1 windows\n0 windows\n1 windows\n2 windows\n"
        wait_until(lambda: (tmp_path / "output").read_bytes() == printed)


async def test_the_program_of_the_page_produces_a_response(broker: Broker, tmp_path: Path) -> None:
    await create(broker, "responses", partitions=4)
    with program("docs/produce.md", tmp_path, broker, "survey-responses", "responses") as process:
        assert process.wait(SECONDS) == 0
    consumer: Any = AIOKafkaConsumer("responses", bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), SECONDS)
    assert (record.key, record.partition) == (b"kiosk/r-1", partition_of(b"kiosk/r-1", 4))
