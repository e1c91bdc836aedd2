"""One installation whose cases are told of: notifiers in this process, with a clock of the test."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from click.testing import Result
from msgspec import structs
from prometheus_client import CollectorRegistry

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients, reading
from npsflow.agents.notify import kinds
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.kind import Sender, open_sender, secret_variable
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.notifier import Notifier
from npsflow.agents.notify.process import open_notifier
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.schemas import codec, topics
from npsflow.schemas.notify import Delivery, decode_record
from npsflow.streams.config.settings import parse
from npsflow.streams.notify.queue import Fence
from npsflow.streams.stage import Output, Record
from tests.broker.command_harness import CommandHarness

from .ends import Endpoint

NAME = "desk"


class Clock:
    """Goes with the real one, which stamps events, and ahead of it as far as it is told; or stands still there."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.still = 0.0

    def stop(self) -> None:
        self.still = time.time()

    def __call__(self) -> float:
        return (self.still or time.time()) + self.ahead


class Running:
    """One notifier."""

    def __init__(self, metrics: Metrics, notifier: Notifier) -> None:
        self.metrics = metrics
        self.queue, self.ready, self.assignment = notifier.queue, notifier.ready, notifier.assignment
        self.problems = notifier.problems

    def count(self, outcome: str) -> float:
        return self._value("npsflow_notify_deliveries_total", outcome=outcome)

    def value(self, name: str) -> float:
        return self._value(f"npsflow_notify_{name}")

    def _value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, {"notifier": NAME} | labels) or 0.0


class Desk:
    """`settings`: those of the notifier `desk`, as TOML below its heading."""

    def __init__(self, broker: Broker, prefix: str, folder: Path, settings: str) -> None:
        self.commands = CommandHarness(broker, prefix, folder)
        self.installation = self.commands.installation
        self.clock = Clock()
        self.configure(settings)

    def configure(self, settings: str) -> None:
        text = f"[notify.{NAME}]\n{settings}\n"
        self.commands.config.write_text(text)
        self.notifier = parse(text).notify[NAME]

    async def __aenter__(self) -> "Desk":
        assert (await self.run("topics", "create")).exit_code == 0
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def run(self, *words: str) -> Result:
        return await asyncio.to_thread(self.commands.run, *words)

    @asynccontextmanager
    async def notifying(
        self,
        sender: Sender | None = None,
        producer: AIOKafkaProducer | None = None,
        secret: str = Endpoint.SECRET,
        *,
        send_backlog: bool = True,
    ) -> AsyncIterator[Running]:
        """`sender` in place of the one that the settings name; `producer`: another one. A backlog is sent."""
        variables = os.environ | ({secret_variable(NAME): secret} if secret else {})
        kind = kinds.named(self.notifier.kind)
        async with (
            open_sender(NAME, kind, self.notifier, variables) as own,
            open_keyring(self.installation) as keyring,
        ):
            metrics, stopping = Metrics(CollectorRegistry()), asyncio.Event()
            context = Context(
                NAME,
                self.notifier,
                replace(kind, per_second=1000.0),
                structs.replace(self.installation, session_ms=2000),
                metrics,
                keyring,
                clock=self.clock,
                jitter=lambda: 0.5,
                send_backlog=send_backlog,
            )
            async with open_notifier(context, sender or own, producer, poll_seconds=0.1) as notifier:
                work = asyncio.create_task(notifier.run(stopping))
                try:
                    yield Running(metrics, notifier)
                finally:
                    stopping.set()
                    await work

    async def publish(self, outputs: Iterable[Output], partition: int = 0) -> None:
        """As stages write them."""
        async with clients.producer(self.installation) as producer:
            for output in outputs:
                topic = self.installation.topic(output.topic)
                await producer.send_and_wait(
                    topic, output.value, output.key, partition=partition, headers=[*output.headers]
                )

    async def delete_events(self, before: int) -> None:
        """Those of partition 0 with an offset before this."""
        tp = TopicPartition(self.installation.topic(topics.SERVICE_RECOVERY), 0)
        async with clients.admin(self.installation) as admin:
            await admin.delete_records({tp: RecordsToDelete(before_offset=before)})

    async def records(self, topic: str) -> list[Record]:
        return [record async for record in reading.committed_records(self.installation, topic)]

    async def latest(self) -> Mapping[str, Delivery]:
        """The last word on each."""
        fences: defaultdict[int, Fence] = defaultdict(Fence)
        newest = {}
        for record in await self.records(topics.NOTIFY_LOG):
            delivery = decode_record(record.key, record.value or b"")
            if not isinstance(delivery, Delivery):
                continue
            if fences[record.partition].admits(delivery):
                newest[delivery.event_id] = delivery
        return newest

    async def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for delivery in (await self.latest()).values():
            found[delivery.state] = found.get(delivery.state, 0) + 1
        return found


async def reached(desk: Desk, **states: int) -> bool:
    return await desk.states() == states


def ids(outputs: Iterable[Output]) -> list[str]:
    return [dict(output.headers)["ce_id"].decode() for output in outputs]


def with_fields(output: Output, **fields: Any) -> Output:
    """The same event with other content."""
    return output._replace(value=codec.dumps(codec.loads(output.value or b"{}") | fields))
