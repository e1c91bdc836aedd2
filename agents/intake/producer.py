"""Where intake puts what it takes: Kafka, as soon as it is there and for as long as it is."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.intake.linger import Gathering, Record
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import KafkaFailed, Refused
from npsflow.schemas import topics
from npsflow.schemas.headers import Headers
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeTopics

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_ANSWER_SECONDS = 4.0


class Keeper:
    """Writes records; `ready` says whether Kafka answered when it was last asked."""

    def __init__(self, installation: Installation, metrics: Metrics) -> None:
        self.ready = False
        self._installation, self._metrics = installation, metrics
        self._gathering: Gathering | None = None

    async def keep(self, records: Sequence[Record], headers: Headers) -> bool:
        """Whether Kafka has all of it. What it has although nobody knows is harmless: it comes once more, repeated."""
        if not records:
            return True
        if self._gathering is not None and await self._gathering.write(records, headers):
            return True
        self.ready = False
        self._metrics.produce_failures.inc()
        return False

    async def connect(self, until_closed: AsyncExitStack) -> None:
        """Raises KafkaFailed."""
        partitions = len(await clients.partitions(self._installation, topics.RESPONSES))
        producer = await until_closed.enter_async_context(clients.producer(self._installation))
        self._gathering = Gathering(producer, self._installation.prefix, partitions)
        self.ready = True

    async def look(self, until_closed: AsyncExitStack) -> None:
        """Ask, until it is cancelled, whether Kafka is there; connect when it comes for the first time."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if self._gathering is None:
                    await self.connect(until_closed)
                else:
                    self.ready = await self._answers(self._gathering.producer)
            except (KafkaError, KafkaFailed, TimeoutError) as error:
                self.ready = False
                log.warning("Kafka is away", extra={"error": type(error).__name__})

    async def _answers(self, producer: AIOKafkaProducer) -> bool:
        asking = producer.client
        async with asyncio.timeout(_ANSWER_SECONDS):
            question = DescribeTopics([self._installation.topic(topics.RESPONSES)])
            answer = await asking.send(asking.get_random_node(), question)
        return not any(code for code, *_ in answer.topics)


@asynccontextmanager
async def keeping(installation: Installation, metrics: Metrics) -> AsyncIterator[Keeper]:
    """A process behind a balancer comes up whether Kafka is there or not, and says which; where Kafka is there but
    does not let us in, or has no topics, it does not: raises KafkaFailed.
    """
    keeper = Keeper(installation, metrics)
    async with AsyncExitStack() as until_closed:
        try:
            await keeper.connect(until_closed)
        except Refused as error:
            if error.step != "reach":
                raise
            log.warning("Kafka is away: senders are told to come again")
        looking = asyncio.create_task(keeper.look(until_closed))
        try:
            yield keeper
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
