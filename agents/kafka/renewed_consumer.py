"""A consumer for processes that live for months: one that is broken is replaced by another."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError

from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.broken_consumer import is_broken, positions

log = logging.getLogger(__name__)

_PAUSE = 2.0  # seconds until another is tried

_Open = Callable[[], AbstractAsyncContextManager[AIOKafkaConsumer]]


class RenewedConsumer:
    """Does all that aiokafka's consumer does.

    To its user a consumer in a group that is replaced looks like a rebalance: the partitions are revoked, and assigned
    anew. One without a group goes on where it stood.

    A consumer that has never read anything is not replaced: its first error is for whoever started it.
    """

    def __init__(self, open_consumer: _Open) -> None:
        self._open = open_consumer
        self._consumer: AIOKafkaConsumer
        self._until_closed: AsyncExitStack
        self._subscribed: tuple[Sequence[str], ConsumerRebalanceListener | None] | None = None
        self._left: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._failed = self._worked = False

    async def start(self) -> None:
        """Raises KafkaFailed when Kafka is not there, or does not let us in."""
        self._consumer, self._until_closed = await self._opened()

    async def stop(self) -> None:
        """Leave the group and close all connections."""
        await self._until_closed.aclose()

    def __getattr__(self, name: str) -> Any:
        """All else is asked of the consumer that there is now."""
        return getattr(self._consumer, name)

    def subscribe(self, topics: Sequence[str], listener: ConsumerRebalanceListener | None = None) -> None:
        """As aiokafka's; whoever takes the place of this one subscribes to the same."""
        self._subscribed = topics, listener
        self._consumer.subscribe(topics, listener=listener)

    async def getmany(self, *tps: TopicPartition, **options: Any) -> dict[TopicPartition, Any]:
        """As aiokafka's, and {} where it was broken. Raises KafkaError as long as it has never read anything."""
        try:
            await self.mend()
            found: dict[TopicPartition, Any] = await self._consumer.getmany(*tps, **options)
        except IllegalStateError:  # of the caller
            raise
        except KafkaError as error:
            if not self._has_worked():
                raise
            self._failed = True
            log.warning("a consumer has failed: another takes its place", extra={"error": type(error).__name__})
            await asyncio.sleep(_PAUSE)
            return {}
        return found

    async def mend(self) -> None:
        """Put another one in place of a broken one. Raises KafkaError when Kafka is not there: it is broken still."""
        if not self._failed and not is_broken(self._consumer):
            return
        await self._let_go()
        broken = self._until_closed
        try:
            self._consumer, self._until_closed = await self._opened()
        except KafkaFailed as error:
            raise KafkaConnectionError(str(error)) from error
        self._failed = False
        self._take_up()
        await broken.aclose()

    def _has_worked(self) -> bool:
        self._worked = self._worked or any(self._consumer.highwater(tp) is not None for tp in positions(self._consumer))
        return self._worked

    async def _let_go(self) -> None:
        """End what the broken one has begun, as if its partitions were revoked."""
        self._has_worked()
        if not (stood := positions(self._consumer)):
            return
        self._left, self._paused, self._failed = stood, set(self._consumer.paused()), True
        self._consumer.unsubscribe()
        if self._subscribed is not None and (listener := self._subscribed[1]) is not None:
            await listener.on_partitions_revoked(set(stood))

    def _take_up(self) -> None:
        if self._subscribed is not None:
            topics, listener = self._subscribed
            self._consumer.subscribe(topics, listener=listener)
        elif self._left:
            self._consumer.assign([*self._left])
            self._consumer.pause(*self._paused)
            for tp, position in self._left.items():
                if position is not None:
                    self._consumer.seek(tp, position)

    async def _opened(self) -> tuple[AIOKafkaConsumer, AsyncExitStack]:
        stack = AsyncExitStack()
        return await stack.enter_async_context(self._open()), stack


@asynccontextmanager
async def renewed_consumer(
    installation: Installation, group: str | None = None, session_ms: int = 10_000, *, at_rest: bool = False
) -> AsyncIterator[RenewedConsumer]:
    """A started one while the block runs; as `clients.reader` otherwise."""
    consumer = RenewedConsumer(lambda: clients.reader(installation, group, session_ms, at_rest=at_rest))
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
