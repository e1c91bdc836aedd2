"""One installation of npsflow on the test broker: its topics, its workers, and whether what came out is right."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from confluent_kafka import Producer

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.demo import oracle
from npsflow.agents.demo.sample import Line, sample
from npsflow.agents.kafka import clients, reading
from npsflow.agents.worker import host
from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import (
    ACTIONS,
    CASES,
    DEAD_LETTERS,
    FOLLOW_UP,
    HISTORY,
    PANES,
    RESPONSES,
    SERVICE_RECOVERY,
    WINDOWS,
)
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.config.settings import parse
from npsflow.streams.engine import admin
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.context import EngineSettings
from npsflow.streams.engine.installation import read_installation
from npsflow.streams.engine.kafka.clients import client_options
from npsflow.streams.engine.observer import Observer
from npsflow.streams.stage import Record
from npsflow.streams.topology import STAGES, wanted
from tests.support.responses import response
from tests.support.waiting import eventually

from .cases import compare_cases

SECONDS = 60
"""Patience with everything that takes far less on a machine that is not overloaded."""

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
"""When the month of the sample ended."""

_ROOT = Path(__file__).parents[2]

ROLLUP_STATE = "npsflow-rollup-state"

_INPUTS = {"classify": [RESPONSES], "rollup": [PANES], "recover": [SERVICE_RECOVERY, FOLLOW_UP, ACTIONS]}

FIXED = "idle_ticks = false\n"
"""Settings under which time is that of the data alone, as the oracle has it."""


class Cluster(Protocol):
    """A Kafka, however it is reached."""

    @property
    def bootstrap(self) -> str: ...


class Harness:
    """Everything under one prefix. `settings` is the text of npsflow.toml; sessions are as short as can be.

    `door`: NPSFLOW_* with which workers and commands get in, where that is not by the broker's own address.
    """

    def __init__(
        self,
        broker: Cluster,
        prefix: str,
        settings: str = FIXED,
        session_ms: int = 1000,
        door: Mapping[str, str] | None = None,
    ) -> None:
        self.environment = {
            "NPSFLOW_BROKERS": broker.bootstrap,
            "NPSFLOW_PREFIX": prefix,
            "NPSFLOW_SESSION_MS": str(session_ms),
        } | dict(door or {})
        self.installation = read_installation(self.environment)
        self.client = {"bootstrap.servers": broker.bootstrap}
        self.configure(settings)
        self._open = AsyncExitStack()

    def configure(self, settings: str) -> None:
        """Settings of the workers that start from now on."""
        self._toml, self.settings = settings, parse(settings)

    async def configure_topic(self, topic: str, configs: dict[str, str]) -> None:
        """Set these settings of a topic (without prefix); what is not named goes back to the broker's default."""
        name = self.installation.topic(topic)
        await self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])

        async def applied() -> bool:
            shown = (await admin.topic_configs(self.admin, [name]))[name]
            return all(_as_shown(shown[key]) == _as_shown(value) for key, value in configs.items())

        await eventually(applied)  # brokers act on it a little later

    async def __aenter__(self) -> "Harness":
        self.admin = await self._open.enter_async_context(clients.admin(self.installation))
        self._reader = await self._open.enter_async_context(AIOKafkaConsumer(**client_options(self.installation)))
        made = set(await admin.create(self.admin, wanted(self.settings, self.installation)))

        async def listed() -> bool:
            return made <= (await admin.partition_counts(self.admin)).keys()

        await eventually(listed)  # brokers know of a topic a little after it is made
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    # Input.

    def produce(self, lines: Iterable[Line], per_second: float = 1e9, **producer: Any) -> None:
        """Send lines in their order, each to the partition that Kafka's default partitioner gives its key.

        `producer`: settings of librdkafka; with `partitioner` among them that one decides. Returns when all are
        acknowledged.
        """
        sender = Producer(self.client | {"linger.ms": 5} | producer)
        began = time.monotonic()
        for number, line in enumerate(lines):
            if (ahead := began + number / per_second - time.monotonic()) > 0:
                time.sleep(ahead)  # the pace of the load
            partition = -1 if "partitioner" in producer else self.partition(line)
            sender.produce(self.installation.topic(RESPONSES), line.value, line.key, partition)
            sender.poll(0)
        assert sender.flush(SECONDS) == 0

    @asynccontextmanager
    async def producing(self, lines: Iterable[Line], per_second: float) -> AsyncIterator[None]:
        """The same beside what is done in the block, which ends when all are sent."""
        sending = asyncio.create_task(asyncio.to_thread(self.produce, lines, per_second))
        try:
            yield
        finally:
            await sending

    def partition(self, line: Line) -> int:
        return partition_of(line.key or b"", self.settings.topics.partitions)

    # Workers.

    @asynccontextmanager
    async def worker(
        self,
        *stages: str,
        web: tuple[str, int] | None = None,
        engine: EngineSettings | None = None,
        observers: Iterable[Observer] = (),
    ) -> AsyncIterator[Host]:
        """A worker in this process, of all stages unless some are named."""
        some = stages or STAGES
        running = host(self.settings, self.installation, some, web=web, engine=engine, observers=observers)
        await running.app.start()
        try:
            yield running
        finally:
            await running.app.stop()

    @contextmanager
    def process(
        self,
        folder: Path,
        *options: str,
        module: str = "npsflow.agents.entry",
        environment: dict[str, str] | None = None,
    ) -> Iterator["Process"]:
        """A worker in a process of its own, with these options on its command line; killed if it outlives the block.

        `module` is what runs it, `environment` variables beside the usual.
        """
        config = folder / "npsflow.toml"
        config.write_text(self._toml)
        names = self.environment | {"NPSFLOW_CONFIG": str(config)} | (environment or {})
        log = folder / f"worker-{time.monotonic_ns()}.log"
        process = Process(log, os.environ | names, options, module)
        try:
            yield process
        finally:
            process.kill()

    # Where everything stands.

    async def ends(self, topic: str) -> dict[int, int]:
        """The very end of each partition, behind transactions that are still open."""
        counts = self.settings.topics
        of = range(counts.pane_partitions if topic in (PANES, WINDOWS, HISTORY, ROLLUP_STATE) else counts.partitions)
        ends = await self._reader.end_offsets([TopicPartition(self.installation.topic(topic), p) for p in of])
        return {tp.partition: end for tp, end in ends.items()}

    async def offsets(self, stage: str) -> dict[int, int]:
        """What the group of a stage has committed."""
        listed = await self.admin.list_consumer_group_offsets(self.installation.group(stage))
        return {tp.partition: committed.offset for tp, committed in listed.items()}

    async def caught_up(self, stage: str = "classify") -> bool:
        """Whether a stage has committed all of its input; of a partition where nothing is, nothing is committed."""
        listed = await self.admin.list_consumer_group_offsets(self.installation.group(stage))
        committed = {(tp.topic, tp.partition): there.offset for tp, there in listed.items()}
        for topic in _INPUTS[stage]:
            for partition, end in (await self.ends(topic)).items():
                if committed.get((self.installation.topic(topic), partition), 0) != end:
                    return False
        return True

    async def finished(self) -> bool:
        """Whether all stages have committed everything, and roll up has heard of the latest time in the data."""
        for stage in _INPUTS:
            if not await self.caught_up(stage):
                return False
        classified, rolled = [await reading.positions(self.installation, stage) for stage in ("classify", "rollup")]
        newest = max(position["stream_time"] for position in classified)
        return all(position["stream_time"] == newest for position in rolled)

    async def read(self, topic: str) -> list[Record]:
        """All committed records."""
        return [record async for record in reading.committed_records(self.installation, topic)]

    async def windows(self, topic: str = WINDOWS) -> dict[bytes, bytes]:
        """The table of windows, or of another topic: the last value of each key."""
        latest = {record.key or b"": record.value for record in await self.read(topic)}
        return {key: value for key, value in latest.items() if value is not None}

    async def events(self, topic: str) -> list[oracle.Event]:
        """Alert or follow-up events, as the oracle knows them; of cases it knows nothing."""
        typed = [(dict(r.headers)["ce_type"].decode(), r) for r in await self.read(topic)]
        return [
            oracle.Event(kind, r.key, loads(r.value or b""))
            for kind, r in typed
            if not kind.startswith("npsflow.case.")
        ]

    async def outcomes(self) -> Counter[str]:
        """How many records came to what, as classify has counted in its changelog."""
        counters = await reading.counters(self.installation, "classify")
        return Counter({name: counters[name] for name in OUTCOMES})

    async def expected(self) -> oracle.Expected:
        """What the oracle makes of the input."""
        records = [
            oracle.Record(r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for r in await self.read(RESPONSES)
        ]
        return oracle.expect(records, partitions=self.settings.topics.partitions)

    async def differences(self, expected: oracle.Expected | None = None) -> list[str]:
        """Everything that is not as the oracle expects it, in words."""
        expected = expected or await self.expected()
        letters = [dict(letter.headers) for letter in await self.read(DEAD_LETTERS)]
        return [
            *oracle.compare_alerts(expected, await self.events(SERVICE_RECOVERY)),
            *oracle.compare_follow_ups(expected, await self.events(FOLLOW_UP)),
            *oracle.compare_dead(expected, [_dead_letter(headers) for headers in letters]),
            *oracle.compare_windows(expected, [loads(value) for value in (await self.windows()).values()]),
            *oracle.compare_history(expected, [loads(value) for value in (await self.windows(HISTORY)).values()]),
            *oracle.compare_outcomes(expected, await self.outcomes()),
            *oracle.compare_forwarded(expected),
            *compare_cases(*[await self.read(topic) for topic in (SERVICE_RECOVERY, FOLLOW_UP, CASES)]),
        ]


class Process:
    """`npsflow worker` as a person starts it; its log is a file."""

    def __init__(self, log: Path, environment: Mapping[str, str], options: Iterable[str], module: str) -> None:
        self._log = log
        command = [sys.executable, "-m", module, "worker", f"--web-port={free_port()}", *options]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=stderr
            )

    def send(self, signal: int) -> None:
        self._process.send_signal(signal)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    async def exit_status(self, seconds: float = SECONDS) -> int:
        """Wait for its end; gives the exit status. Raises TimeoutExpired."""
        return await asyncio.to_thread(self._process.wait, seconds)

    @property
    def output(self) -> str:
        """What it has written up to now."""
        return self._log.read_text(errors="replace")

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The lines of its log with this in their message. It may be writing one just now: that has no end yet."""
        whole, _, _ = self.output.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if message in line["message"]]


def lines(count: int, seed: int = 7) -> list[Line]:
    """The sample, in the month before END."""
    return list(sample(seed, count, END))


def response_line(number: int, **fields: Any) -> Line:
    """A good response, of a promoter unless `fields` say something else."""
    usual = {"source": "typeform", "survey_id": "s", "score": 9, "submitted_at": "2026-03-01T12:00:00Z"}
    value = response(f"r{number}", **usual | fields)
    return Line(f"typeform/r{number}".encode(), dumps(value), "response")


def _as_shown(value: str) -> float | str:
    """The value of a setting, by which 0.0001 and 1.0E-4 are the same."""
    try:
        return float(value)
    except ValueError:
        return value


def _dead_letter(headers: Mapping[str, bytes]) -> tuple[str, int, int]:
    reason, partition, offset = [headers[f"npsflow_dlq_{name}"].decode() for name in ("reason", "partition", "offset")]
    return reason, int(partition), int(offset)
