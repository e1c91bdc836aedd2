"""A producer for processes that live for months: one that has failed is never used again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.abandoning import abandon

log = logging.getLogger(__name__)

_ACKNOWLEDGED_SECONDS = 60.0

_Headers = Sequence[tuple[str, bytes]]


class _Generation(NamedTuple):
    """`until_closed` stops the producer; `ended`: done when nothing comes of its writes any more."""

    producer: AIOKafkaProducer
    until_closed: AsyncExitStack
    ended: asyncio.Future[None]


class RenewedProducer:
    """Writes as aiokafka's idempotent producer does, with another one after each write that failed.

    aiokafka numbers the batches of a partition before it sends them. If one is given up unsent, its number is missing,
    and the broker refuses all that follows, for ever.

    Whether Kafka has what failed is not certain: written again it may be there twice.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._generation: _Generation
        self._failed = False
        self._renewal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises KafkaFailed when Kafka is not there, or does not let us in."""
        stack = AsyncExitStack()
        producer = await stack.enter_async_context(clients.producer(self._installation))
        self._generation = _Generation(producer, stack, asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """Deliver what is under way, for as long as a broker may take to answer."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        await self._generation.until_closed.aclose()

    @property
    def client(self) -> AIOKafkaClient:
        """For single requests."""
        return self._generation.producer.client

    def create_batch(self) -> Any:
        """aiokafka's builder of a batch."""
        return self._generation.producer.create_batch()

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Hand over a batch; the future gives aiokafka's metadata of it. Both raise KafkaError, TimeoutError."""
        return await self._write(lambda producer: producer.send_batch(batch, topic, partition=partition))

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, headers: _Headers = ()
    ) -> asyncio.Future[Any]:
        """Hand over a record; as `send_batch`."""
        return await self._write(lambda producer: producer.send(topic, value, key, partition, headers=list(headers)))

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, headers: _Headers = ()
    ) -> Any:
        """Return when Kafka has acknowledged the record, with aiokafka's metadata of it. Raises as `send_batch`."""
        return await (await self.send(topic, value, key, partition, headers=headers))

    async def _write(self, send: Callable[[AIOKafkaProducer], Awaitable[asyncio.Future[Any]]]) -> asyncio.Future[Any]:
        generation = await self._current()
        try:
            acknowledged = await send(generation.producer)
        except MessageSizeTooLargeError:  # it has no number yet
            raise
        except BaseException as error:
            self._give_up(generation, error)
            raise
        return asyncio.ensure_future(self._acknowledged(generation, acknowledged))

    async def _acknowledged(self, generation: _Generation, acknowledged: asyncio.Future[Any]) -> Any:
        acknowledged.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_SECONDS):
                await asyncio.wait((acknowledged, generation.ended), return_when=asyncio.FIRST_COMPLETED)
            if not acknowledged.done():
                raise KafkaConnectionError("another write failed, and with it the producer")
            return acknowledged.result()
        except BaseException as error:  # cancelled, too: nobody waits to see whether it was given up
            self._give_up(generation, error)
            raise

    def _give_up(self, generation: _Generation, error: BaseException) -> None:
        if generation is self._generation and not self._failed:
            self._failed = True
            log.warning("a producer has failed: the next write has a new one", extra={"error": type(error).__name__})

    async def _current(self) -> _Generation:
        if self._failed:
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(self._renew())
                self._renewal.add_done_callback(_retrieve)
            await asyncio.shield(self._renewal)  # a write that waits no longer leaves it to the others
        return self._generation

    async def _renew(self) -> None:
        """The old one ends before the new one begins: nothing of it comes to Kafka behind what follows."""
        await abandon(self._generation.producer)
        await self._generation.until_closed.aclose()
        if not self._generation.ended.done():  # it is where the last renewal failed
            self._generation.ended.set_result(None)
        try:
            await self.start()
        except KafkaFailed as error:
            raise KafkaConnectionError(str(error)) from error
        self._failed = False


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Take note of its error, so that asyncio does not complain where nobody waits for it."""
    if not future.cancelled():
        future.exception()


@asynccontextmanager
async def renewed_producer(installation: Installation) -> AsyncIterator[RenewedProducer]:
    """A started one while the block runs. Raises KafkaFailed when Kafka is not there, or does not let us in."""
    producer = RenewedProducer(installation)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
