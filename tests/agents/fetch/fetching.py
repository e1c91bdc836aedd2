"""One installation whose events are fetched from a stand-in: fetchers in this process, with a clock of the test."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.fetch.fetcher import Fetcher, Writer
from npsflow.agents.fetch.metrics import Metrics
from npsflow.agents.fetch.sources import sources
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.schemas import codec, topics
from npsflow.schemas.fetch import Fetch
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.config.settings import parse
from npsflow.streams.stage import Record
from tests.broker.command_harness import CommandHarness

from .standin import FIXTURES, TOKEN

START = 1_772_377_331.0
ENTRANCE = "shop"
PARTITIONS = 4


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Running:
    """One fetcher."""

    def __init__(self, metrics: Metrics, consumer: AIOKafkaConsumer) -> None:
        self.metrics, self.consumer = metrics, consumer

    def pending(self) -> float | None:
        return self.metrics.registry.get_sample_value("npsflow_fetch_pending", {"entrance": ENTRANCE})

    def count(self, outcome: str) -> float:
        labels = {"entrance": ENTRANCE, "outcome": outcome}
        return self.metrics.registry.get_sample_value("npsflow_fetches_total", labels) or 0.0


class Installed:
    """`address`: of the stand-in. `settings` of the entrance `shop` are those in the platform's fixtures."""

    def __init__(self, broker: Broker, prefix: str, folder: Path, platform: str, address: str) -> None:
        self.commands = CommandHarness(broker, prefix, folder)
        self.installation = self.commands.installation
        form = (FIXTURES / platform / "form.toml").read_text()
        inner = form.replace("[[", f"[[intake.{ENTRANCE}.").replace("\n[", f"\n[intake.{ENTRANCE}.")
        inner = inner.replace(f"[intake.{ENTRANCE}.[intake.{ENTRANCE}.", f"[[intake.{ENTRANCE}.")
        self.text = f'[intake.{ENTRANCE}]\napi = "{address}"\napi_per_minute = 60000\n{inner}'
        self.commands.config.write_text(self.text)
        self.clock = Clock()

    async def __aenter__(self) -> "Installed":
        assert (await self.run("topics", "create")).exit_code == 0
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def run(self, *words: str) -> Any:
        return await asyncio.to_thread(self.commands.run, *words)

    @asynccontextmanager
    async def fetcher(
        self, text: str | None = None, token: str = TOKEN, producer: AIOKafkaProducer | None = None
    ) -> AsyncIterator[Running]:
        """`text`: other settings; `producer`: another one."""
        form = parse(text or self.text).intake
        async with (
            aiohttp.ClientSession() as session,
            clients.reader(self.installation, self.installation.group("fetch"), 1000) as consumer,
            renewed_producer(self.installation) as own,
        ):
            found = sources(form, {"NPSFLOW_TOKEN_SHOP": token}, session, self.clock)
            metrics, stopping = Metrics(CollectorRegistry()), asyncio.Event()
            writer = Writer(producer or own, self.installation, PARTITIONS)
            fetcher = Fetcher(found, consumer, writer, metrics, clock=self.clock, jitter=lambda: 0.5)
            work = asyncio.create_task(fetcher.run(self.installation.topic(topics.FETCHES), stopping))
            try:
                yield Running(metrics, consumer)
            finally:
                stopping.set()
                await work

    async def ask(self, *fetches: Fetch) -> None:
        """As intake writes them."""
        await self.send(topics.FETCHES, ((fetch.key(), codec.dumps(fetch)) for fetch in fetches))

    async def send(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        async with clients.producer(self.installation) as producer:
            for key, value in records:
                partition = partition_of(key, PARTITIONS)
                await producer.send_and_wait(self.installation.topic(topic), value, key, partition)

    async def records(self, topic: str) -> list[Record]:
        return [record async for record in reading.committed_records(self.installation, topic)]

    async def responses(self) -> list[Mapping[str, Any]]:
        return [json.loads(record.value or b"") for record in await self.records(topics.RESPONSES)]

    async def letters(self) -> list[Record]:
        return await self.records(topics.DEAD_LETTERS)

    async def standing(self) -> dict[bytes, dict[str, Any]]:
        """What of the queue stands, by key."""
        newest = {record.key or b"": record.value for record in await self.records(topics.FETCHES)}
        return {key: json.loads(value) for key, value in newest.items() if value is not None}


def event(number: int, response: str = "5007154402", **more: Any) -> Fetch:
    """One of SurveyMonkey's."""
    return Fetch(ENTRANCE, f"e{number}", {"survey": "105724755", "response": response}, int(START * 1000), **more)
