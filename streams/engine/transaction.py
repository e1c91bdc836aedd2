"""One Kafka transaction per commit of a task: outputs, changelog and input offsets together, or nothing.

aiokafka speaks TxnOffsetCommit v0 and EndTxn v0: no group fencing and no epoch bump. So a task is fenced by its own
transactional id, and after any error whose outcome is not certain the producer is thrown away: initialising the next
one under the same id settles whatever was left open.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from npsflow.streams.engine.kafka.metadata_backoff import back_off_metadata
from npsflow.streams.stage import Output

TIMEOUT = 10.0
"""Seconds until the broker aborts a transaction that nobody ends: how long a dead writer can hide others' records."""

_LONGEST = 3 * TIMEOUT
"""Seconds for a commit: the broker has given it up long before, and aiokafka asks for a missing topic for ever."""

_BATCH = 1 << 20


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
        """All that was emitted; what comes next is of another transaction."""
        taken = [(TopicPartition(self._prefix + t, p), b) for (t, p), b in (*self._full, *self._open.items())]
        self._open, self._full = {}, []
        return taken


class Transaction:
    """The transactional producer of one task."""

    def __init__(self, transactional_id: str, group: str, client: Mapping[str, Any]) -> None:
        """`client`: keyword arguments of every Kafka client (brokers, security)."""
        self._group = group
        self.producer = AIOKafkaProducer(
            **client,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(TIMEOUT * 1000),
            max_batch_size=_BATCH,
            compression_type="zstd",  # a third of the CPU of aiokafka's lz4, which compresses at level 9, and smaller
        )
        back_off_metadata(self.producer.client)
        self._broken = False
        self._note_failures(self.producer.client)
        _withhold(self.producer._txn_manager, self.producer._message_accumulator)

    async def start(self) -> None:
        """Fence any older owner and settle what it left open."""
        await self.producer.start()

    def _note_failures(self, client: Any) -> None:
        """aiokafka sends again what it got no answer to; what the broker made of the first request, nobody knows."""
        send = client.send

        async def noting(*args: Any, **kwargs: Any) -> Any:
            try:
                return await send(*args, **kwargs)
            except KafkaError:
                self._broken = True
                raise

        client.send = noting

    async def settle(self, commit: bool, partitions: Iterable[TopicPartition]) -> None:
        """End a transaction without records on these partitions, see streams/engine/kafka/hanging_transactions.py.

        Who cancels it has to wait: the next owner would abort one that is open, and with it what is to be committed.
        """
        ending = asyncio.ensure_future(self._end_empty(commit, partitions))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait([ending], timeout=TIMEOUT)
            raise

    async def _end_empty(self, commit: bool, partitions: Iterable[TopicPartition]) -> None:
        await self.producer.begin_transaction()
        for tp in partitions:
            self.producer._txn_manager.maybe_add_partition_to_txn(tp)
        await (self.producer.commit_transaction() if commit else self.producer.abort_transaction())

    async def commit(self, batches: Batches, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Written]:
        """All of it becomes visible, or this raises and nobody knows: then drop the task."""
        try:
            async with asyncio.timeout(_LONGEST):
                return await self._commit(batches, offsets)
        except TimeoutError:
            raise KafkaConnectionError(f"not within {_LONGEST:.0f} s: no answer, or a topic is missing") from None

    async def _commit(self, batches: Batches, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Written]:
        producer, self._broken = self.producer, False
        await producer.begin_transaction()
        sent = [await producer.send_batch(batch, tp.topic, partition=tp.partition) for tp, batch in batches]
        delivered = await asyncio.gather(*sent)
        # Not at the same time: while the coordinator adds the group, brokers refuse to verify the produced partitions.
        positions = {tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        await producer.send_offsets_to_transaction(positions, self._group)
        await producer.commit_transaction()
        if self._broken:  # the broker may have crashed and come back: let the next owner settle it
            raise KafkaConnectionError("the connection broke during the commit")
        return {
            tp: Written(metadata.offset + batch.record_count(), metadata.timestamp)
            for (tp, batch), metadata in zip(batches, delivered, strict=True)
        }

    async def stop(self) -> None:
        """Close it whatever state it is in; an open transaction is settled by the next owner or the time-out."""
        with suppress(Exception):
            await asyncio.wait_for(self.producer.stop(), TIMEOUT)


def _withhold(manager: Any, accumulator: Any) -> None:
    """Send nothing that could not be added to the transaction, as aiokafka does when one of its topics is forbidden.

    As long as the marker of the last transaction is not written, Kafka takes it for a part of that one: committed.
    """
    error_transaction = manager.error_transaction

    def withholding(error: Exception) -> None:
        for tp in manager.partitions_to_add():
            for batch in accumulator._batches.pop(tp, ()):
                batch.failure(error)
                batch.future.exception()
        error_transaction(error)
        manager._transaction_waiter.exception()  # who waits hears of them; where nobody does, asyncio need not complain

    manager.error_transaction = withholding
