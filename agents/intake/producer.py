"""Writes what intake accepts to Kafka, whenever Kafka is there."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiokafka.errors import KafkaError

from npsflow.agents.intake.linger import LingeringProducer
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.kafka import reading
from npsflow.agents.kafka.diagnosis import KafkaFailed, Refused
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.sealing.sealer import CLEAR, Seals
from npsflow.schemas import topics
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeTopics
from npsflow.streams.intake.entrance import KeyedRecord

log = logging.getLogger(__name__)

_PROBE_SECONDS = 2.0
_ANSWER_SECONDS = 4.0


class Producer:
    """`ready`: whether Kafka answered the last probe or write."""

    def __init__(self, installation: Installation, metrics: Metrics, sealer: Seals) -> None:
        self.ready = False
        self._heard = time.monotonic()
        self._installation, self._metrics, self._sealer = installation, metrics, sealer
        self._lingering: LingeringProducer | None = None

    async def write(self, records: Collection[KeyedRecord]) -> bool:
        """Whether Kafka has acknowledged all records.

        If not it may have them all the same, which is harmless: sent once more they are repeated.
        """
        if not records:
            return True
        if self._lingering is not None and await self._write(self._lingering, records):
            return True
        self.ready = False
        self._metrics.produce_failures.inc()
        return False

    def silent_for(self) -> float:
        """Seconds since Kafka answered a probe."""
        return time.monotonic() - self._heard

    async def _write(self, lingering: LingeringProducer, records: Collection[KeyedRecord]) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                sealed = await self._sealer.seal([*records])
        except (KafkaError, KafkaFailed, TimeoutError) as error:
            log.warning("keys of customers could not be had", extra={"error": type(error).__name__})
            return False
        return await lingering.write(sealed)

    async def connect(self, until_closed: AsyncExitStack) -> None:
        """Raises KafkaFailed when Kafka is not there, does not let us in or has no topics."""
        partitions = len(await reading.partitions(self._installation, topics.RESPONSES))
        await self._sealer.start()
        producer = await until_closed.enter_async_context(renewed_producer(self._installation))
        self._lingering = LingeringProducer(producer, self._installation.prefix, partitions)
        self.ready = True

    async def probe(self, until_closed: AsyncExitStack) -> None:
        """Ask, until cancelled, whether Kafka is there; connect when it is there for the first time."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            try:
                if self._lingering is None:
                    await self.connect(until_closed)
                else:
                    self.ready = await self._answers(self._lingering.producer)
                if self.ready:
                    self._heard = time.monotonic()
            except (KafkaError, KafkaFailed, TimeoutError) as error:
                self.ready = False
                log.warning("Kafka is away", extra={"error": type(error).__name__})

    async def _answers(self, producer: RenewedProducer) -> bool:
        client, request = producer.client, DescribeTopics([self._installation.topic(topics.RESPONSES)])
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await client.send(client.get_random_node(), request)
        return not any(code for code, *_ in answer.topics)


@asynccontextmanager
async def open_producer(installation: Installation, metrics: Metrics, sealer: Seals = CLEAR) -> AsyncIterator[Producer]:
    """A producer that comes up whether Kafka is there or not, as a process behind a balancer has to.

    Raises KafkaFailed when Kafka is there but does not let us in, or has no topics.
    """
    producer = Producer(installation, metrics, sealer)
    async with AsyncExitStack() as until_closed:
        try:
            await producer.connect(until_closed)
        except Refused as error:
            if error.step != "reach":
                raise
            log.warning("Kafka is away: senders are told to come again")
        probing = asyncio.create_task(producer.probe(until_closed))
        try:
            yield producer
        finally:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing
