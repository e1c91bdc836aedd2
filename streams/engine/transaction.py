"""One Kafka transaction per commit of a task: outputs, changelog and input offsets together, or nothing.

aiokafka speaks TxnOffsetCommit v0 and EndTxn v0: no group fencing and no epoch bump. So a task is fenced by its own
transactional id, and after any error whose outcome is not certain the producer is thrown away: initialising the next
one under the same id settles whatever was left open.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata

from npsflow.streams.engine.context import Context
from npsflow.streams.engine.kafka.abandoning import abandon
from npsflow.streams.engine.kafka.guarded_producer import GuardedProducer
from npsflow.streams.engine.kafka.hanging_transactions import find_open
from npsflow.streams.engine.observer import Committing
from npsflow.streams.stage import Output

_PATIENCE = 1.0  # seconds until a transaction of another that is not hanging has ended


class Written(NamedTuple):
    """Where a partition's records of one commit ended: the next offset, and the append time (ms, -1 if unknown)."""

    end: int
    append_time: int


Batches = list[tuple[TopicPartition, Any]]
"""aiokafka's batch builders, in the order in which they have to be sent."""


class Outputs:
    """Records on their way into the next transaction, encoded as they come, a batch for each partition."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, now: int) -> None:
        """`now` (ms) stamps the records where a topic does not use append time."""
        self.producer, self.now, self._prefix = producer, now, prefix
        self._open: dict[tuple[str, int], Any] = {}
        self._full: list[tuple[tuple[str, int], Any]] = []

    def emit(self, output: Output) -> None:
        """Add one record."""
        topic, partition, key, value, headers = output
        at = topic, partition
        batch = self._open.get(at)
        if batch is None:
            batch = self._open[at] = self.producer.create_batch()
        if batch.append(timestamp=self.now, key=key, value=value, headers=headers) is None:
            self._full.append((at, batch))
            batch = self._open[at] = self.producer.create_batch()
            batch.append(timestamp=self.now, key=key, value=value, headers=headers)  # the first fits whatever its size

    @property
    def batches(self) -> int:
        """How many are open or full: a measure of the memory they take."""
        return len(self._full) + len(self._open)

    def take(self) -> Batches:
        """Give all that was emitted; what comes next is of another transaction."""
        taken = [(TopicPartition(self._prefix + t, p), b) for (t, p), b in (*self._full, *self._open.items())]
        self._open, self._full = {}, []
        return taken


class Transaction:
    """The transactional producer of one task."""

    def __init__(self, context: Context, partition: int, leaders: Mapping[TopicPartition, int]) -> None:
        """`leaders`: the brokers of all partitions that it can touch."""
        name = context.stage.name
        self._leaders = leaders
        self.producer = GuardedProducer(context.installation, context.installation.transactional_id(name, partition))
        self._group, self._longest = context.installation.group(name), context.settings.commit_timeout
        self._task, self._hold = context.task(partition), context.observer.hold

    async def start(self) -> None:
        """Fence any older owner, and abort what it has not decided to commit."""
        await self.producer.start()

    async def commit(self, batches: Batches, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Written]:
        """Make all of it visible. Raises when that is not certain: then drop the task."""
        try:
            async with asyncio.timeout(self._longest):
                return await self._commit(batches, offsets)
        except TimeoutError:
            text = f"not within {self._longest:.0f} s: no answer, or a topic is missing"
            raise KafkaConnectionError(text) from None

    async def _commit(self, batches: Batches, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Written]:
        producer, task, hold = self.producer, self._task, self._hold
        producer.failed = False
        await self._vouch()
        await producer.begin_transaction()
        await hold(Committing(task, "begun"))
        sent: list[asyncio.Future[Any]] = []
        for tp, batch in batches:
            await hold(Committing(task, "sending", tp.topic, sent))
            sent.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
        delivered = await asyncio.gather(*sent)
        await hold(Committing(task, "delivered"))
        # Not at the same time: while the coordinator adds the group, brokers refuse to verify the produced partitions.
        positions = {tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        await producer.send_offsets_to_transaction(positions, self._group)
        await hold(Committing(task, "ending"))
        await producer.commit_transaction()
        await hold(Committing(task, "ended"))
        if producer.failed:  # the broker may have crashed and come back: let the next owner settle it
            raise KafkaConnectionError("the connection broke during the commit")
        return {
            tp: Written(metadata.offset + batch.record_count(), metadata.timestamp)
            for (tp, batch), metadata in zip(batches, delivered, strict=True)
        }

    async def _vouch(self) -> None:
        """After a new connection see to it that all ends of the last transaction are written."""
        if self.producer.vouched:
            return
        connection = await self.producer.connect()
        if await find_open(self.producer.client, self._leaders, _PATIENCE):
            raise KafkaConnectionError("a transaction is open: perhaps the last one, which a restarted broker left so")
        self.producer.vouch(connection)

    async def stop(self) -> None:
        """Close it whatever state it is in; an open transaction is settled by the next owner or the time-out."""
        await abandon(self.producer)
