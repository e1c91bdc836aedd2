"""Kafka that is not plain: one with a policy for topics, and one that is older than what clients ask of it."""

import asyncio
import os
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import get_args

import pytest
from aiokafka.errors import for_code
from msgspec.structs import replace

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.agents.kafka import clients, reading
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.engine.installation import Compression

from .command_harness import CommandHarness

POLICY = """
import java.util.Map;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.server.policy.CreateTopicPolicy;

public class Managed implements CreateTopicPolicy {
    public void configure(Map<String, ?> configs) {}
    public void close() {}
    public void validate(RequestMetadata topic) {
        String bytes = topic.configs().get("segment.bytes");
        if (bytes != null && Long.parseLong(bytes) < 52428800)
            throw new PolicyViolationException("segment.bytes must be 52428800 or more");
        if (topic.configs().containsKey("min.cleanable.dirty.ratio"))
            throw new PolicyViolationException("min.cleanable.dirty.ratio is not yours to set");
    }
}
"""
METADATA, API_VERSIONS = 3, 18


class Front:
    """Stands before a broker, and says of `lowered` requests (key: version) that they end with this version."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.lowered: dict[int, int] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, HOST, self.port):
            yield

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        broker, requests = await asyncio.open_connection(HOST, self._target)
        asked = dict[int, int]()
        ways = [self._requests(client, requests, asked), self._answers(broker, answers, asked)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        with suppress(asyncio.CancelledError):  # when the front is taken away
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in (answers, requests):
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            api, _, number = struct.unpack_from(">hhI", frame, 4)
            asked[number] = api
            writer.write(frame)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]) -> None:
        while True:
            frame = await _frame(reader)
            if asked.pop(int.from_bytes(frame[4:8])) == API_VERSIONS:
                frame = self._lower(frame)
            writer.write(frame)

    def _lower(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        (count,) = struct.unpack_from(">i", frame, 10)
        for at in range(14, 14 + 6 * count, 6):
            api, least, most = struct.unpack_from(">hhh", frame, at)
            struct.pack_into(">hhh", changed, at, api, least, min(most, self.lowered.get(api, most)))
        return bytes(changed)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head))


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Front]]:
    """A Kafka with a policy, and what stands before it."""
    folder, kafka = tmp_path_factory.mktemp("managed"), fetch_kafka(print)
    cache = folder / "cache" / kafka.name
    (cache / "lib").mkdir(parents=True)
    for file in kafka.iterdir():
        if file.is_file():
            shutil.copy(file, cache)
    for jar in (kafka / "lib").iterdir():
        os.symlink(jar, cache / "lib" / jar.name)
    (folder / "Managed.java").write_text(POLICY)
    subprocess.run(["javac", "-cp", f"{kafka}/lib/*", "Managed.java"], cwd=folder, check=True)
    subprocess.run(["jar", "cf", str(cache / "lib" / "managed.jar"), "Managed.class"], cwd=folder, check=True)
    port, front = free_port(), free_port()
    properties = {"create.topic.policy.class.name": "Managed", "advertised.listeners": f"PLAINTEXT://{HOST}:{front}"}
    broker = Broker(folder / "kafka", port, properties, folder / "cache", brief=True)
    broker.start()
    yield broker, Front(front, port)
    broker.stop()


@pytest.fixture
def managed_harness(managed: tuple[Broker, Front], tmp_path: Path, request: pytest.FixtureRequest) -> CommandHarness:
    """An installation without topics, that is reached through the front."""
    made = CommandHarness(managed[0], request.node.name.replace("_", "-")[:40] + ".", tmp_path)
    made.environment["NPSFLOW_BROKERS"] = f"{HOST}:{managed[1].port}"
    return made


async def test_what_a_policy_refuses_is_told_in_its_words_and_can_be_left_out(
    managed_harness: CommandHarness, managed: tuple[Broker, Front]
) -> None:
    async with managed[1].open():
        refused = await asyncio.to_thread(managed_harness.run, "topics", "create")
        assert refused.exit_code == 2
        assert f"created: {managed_harness.installation.topic('survey-responses')}\n" in refused.stdout
        windows = managed_harness.installation.topic("nps-windows")
        assert f"the broker refuses topic {windows}: segment.bytes must be 52428800" in refused.stderr
        assert "is not yours to set" not in refused.stderr  # the policy says one thing at a time
        managed_harness.config.write_text('[topics.config]\n"segment.bytes" = "52428800"\n')
        refused = await asyncio.to_thread(managed_harness.run, "topics", "create")
        assert f"already there: {managed_harness.installation.topic('survey-responses')}\n" in refused.stdout
        assert "min.cleanable.dirty.ratio is not yours to set" in refused.stderr
        managed_harness.config.write_text(
            '[topics.config]\n"segment.bytes" = "broker"\n"min.cleanable.dirty.ratio" = "broker"\n'
        )
        made = await asyncio.to_thread(managed_harness.run, "topics", "create")
        assert made.exit_code == 0
        assert f"created: {windows}\n" in made.stdout
        checked = await asyncio.to_thread(managed_harness.run, "check")
        assert "topics: all" in checked.stdout


@pytest.mark.parametrize("command", ["check", "worker"])
async def test_a_broker_that_is_too_old_is_named_in_one_sentence(
    managed_harness: CommandHarness, managed: tuple[Broker, Front], command: str
) -> None:
    managed[1].lowered = {METADATA: 5}
    try:
        async with managed[1].open():
            ended = await asyncio.to_thread(managed_harness.run, command)
    finally:
        managed[1].lowered = {}
    assert ended.exit_code == 2
    assert "too old, or no Apache Kafka" in ended.output
    assert "docs/brokers.md" in ended.output
    assert "Traceback" not in ended.output
    assert isinstance(ended.exception, SystemExit)


@pytest.mark.parametrize("compression", get_args(Compression))
async def test_every_compression_arrives(harness: CommandHarness, compression: Compression) -> None:
    installation = replace(harness.installation, compression=compression)
    async with clients.producer(installation) as producer:
        await producer.send_and_wait(installation.topic(RESPONSES), compression.encode() * 100)
    records = [record async for record in reading.committed_records(installation, RESPONSES)]
    assert [record.value for record in records] == [compression.encode() * 100]


def test_a_compression_that_the_broker_does_not_take_is_told_with_what_helps() -> None:
    assert "set NPSFLOW_COMPRESSION" in str(for_code(76)())
