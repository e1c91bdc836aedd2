"""The events that messages are made of, by where they stand: those just read are at hand, others are read again."""

import asyncio
from collections import OrderedDict

from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.streams.stage import Record

_AT_HAND = 16 << 20  # bytes of their values
_SECONDS = 10.0


class Events:
    """`consumer` belongs to no group and is used for nothing else; `topic` with prefix."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._at_hand: OrderedDict[tuple[int, int], Record] = OrderedDict()
        self._bytes = 0
        self._one_at_a_time = asyncio.Lock()

    def remember(self, record: Record) -> None:
        self._taken(record.partition, record.offset)
        self._at_hand[record.partition, record.offset] = record
        self._bytes += len(record.value or b"")
        while self._bytes > _AT_HAND:
            self._taken(*next(iter(self._at_hand)))

    async def get(self, partition: int, offset: int) -> Record | None:
        """None where it is not there any more. Raises KafkaError, TimeoutError."""
        return self._taken(partition, offset) or await self._again(partition, offset)

    def _taken(self, partition: int, offset: int) -> Record | None:
        found = self._at_hand.pop((partition, offset), None)
        self._bytes -= len(found.value or b"") if found is not None else 0
        return found

    async def _again(self, partition: int, offset: int) -> Record | None:
        tp = TopicPartition(self._topic, partition)
        async with self._one_at_a_time, asyncio.timeout(_SECONDS):
            consumer = self._consumer
            consumer.assign([tp])
            begin, end = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
            if not begin[tp] <= offset < end[tp]:
                return None
            consumer.seek(tp, offset)
            record: Record = await consumer.getone(tp)
        return record if record.offset == offset else None
