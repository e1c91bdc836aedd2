"""The events that messages are made of, by offset: those just read are in memory, others are read again."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator

from aiokafka import TopicPartition

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer
from npsflow.streams.stage import Record

_MAX_BYTES = 16 << 20  # of values in memory
_SECONDS = 10.0


class EventCache:
    """Needs a `consumer` of its own, without a group; `topic` with prefix."""

    def __init__(self, consumer: RenewedConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._records: OrderedDict[tuple[int, int], Record] = OrderedDict()
        self._bytes = 0
        self._lock = asyncio.Lock()

    def add(self, record: Record) -> None:
        """Keep a record until it is asked for, or too many others are kept."""
        self._pop(record.partition, record.offset)
        self._records[record.partition, record.offset] = record
        self._bytes += len(record.value or b"")
        while self._bytes > _MAX_BYTES:
            self._pop(*next(iter(self._records)))

    async def get(self, partition: int, offset: int) -> Record | None:
        """The record at this offset, None if the topic has it no more. Raises KafkaError, TimeoutError."""
        return self._pop(partition, offset) or await self._read(partition, offset)

    def _pop(self, partition: int, offset: int) -> Record | None:
        record = self._records.pop((partition, offset), None)
        self._bytes -= len(record.value or b"") if record is not None else 0
        return record

    async def _read(self, partition: int, offset: int) -> Record | None:
        tp = TopicPartition(self._topic, partition)
        async with self._lock, asyncio.timeout(_SECONDS):
            consumer = self._consumer
            await consumer.mend()
            consumer.assign([tp])
            begin, end = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
            if not begin[tp] <= offset < end[tp]:
                return None
            consumer.seek(tp, offset)
            record: Record = await consumer.getone(tp)
            consumer.pause(tp)  # it reads ahead otherwise
        return record if record.offset == offset else None

    async def range_since(self, partition: int, since: int) -> tuple[int, int]:
        """The offset of the first event that is not older than `since`, in ms, and of the end. Raises KafkaError."""
        tp = TopicPartition(self._topic, partition)
        async with self._lock, asyncio.timeout(_SECONDS):
            await self._consumer.mend()
            self._consumer.assign([tp])
            begin = (await reading.offsets_since(self._consumer, [tp], since))[tp]
            end: int = (await self._consumer.end_offsets([tp]))[tp]
            self._consumer.pause(tp)
        return begin, end

    async def batches(self, partition: int, begin: int, end: int) -> AsyncGenerator[list[Record]]:
        """The records from one offset to before another. Raises KafkaError, TimeoutError."""
        tp, consumer = TopicPartition(self._topic, partition), self._consumer
        async with self._lock:
            await consumer.mend()
            consumer.assign([tp])
            consumer.seek(tp, begin)
            while await consumer.position(tp) < end:
                async with asyncio.timeout(_SECONDS):
                    fetched = (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
                yield [record for record in fetched if record.offset < end]
            consumer.pause(tp)
