"""Customers whom `npsflow forget` has erased: events from before that are sent to nobody any more."""

import asyncio
from collections.abc import Callable

from aiokafka import TopicPartition

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer
from npsflow.schemas import codec
from npsflow.schemas.times import HOUR
from npsflow.streams.stage import Record

_FRESH = 1.0  # seconds for which nothing new is looked for
_SECONDS = 10.0
_MARGIN = HOUR  # read so much further back than asked: the next event may be a little older


class ErasedCustomers:
    """Needs a `consumer` of its own, without a group; `topic` is that of actions, with prefix; `clock` in seconds.

    An action is in the partition of its customer, as are the events about that customer. The actions of a partition
    are read as far back as the oldest event that was asked about.
    """

    def __init__(self, consumer: RenewedConsumer, topic: str, clock: Callable[[], float]) -> None:
        self._consumer, self._topic, self._clock = consumer, topic, clock
        self._ranges: dict[int, tuple[int, int, float]] = {}  # what was read: from (ms), to (offset), and when (s)
        self._erased_at: dict[tuple[int, str], int] = {}  # by partition and customer, in ms
        self._lock = asyncio.Lock()

    async def concerns(self, record: Record, customers: set[str]) -> bool:
        """Whether one of these customers was erased after this event. Raises KafkaError, TimeoutError."""
        async with self._lock, asyncio.timeout(_SECONDS):
            await self._read(record.partition, record.timestamp)
        return any(self._erased_at.get((record.partition, name), 0) > record.timestamp for name in customers)

    async def _read(self, partition: int, since: int) -> None:
        """Read the actions of a partition from `since` (ms) to its end."""
        consumer, tp, now = self._consumer, TopicPartition(self._topic, partition), self._clock()
        begin, end, read_at = self._ranges.get(partition, (since, -1, 0.0))
        if end >= 0 and since >= begin and now < read_at + _FRESH:
            return
        await consumer.mend()
        consumer.assign([tp])
        if end < 0 or since < begin:
            begin = max(0, since - _MARGIN)
            end = (await reading.offsets_since(consumer, [tp], begin))[tp]
        until = (await consumer.end_offsets([tp]))[tp]
        async for actions in reading.batches_between(consumer, {tp: (end, until)}):
            for action in filter(_erases, actions):
                self._erased_at[partition, (action.key or b"").decode(errors="replace")] = action.timestamp
        consumer.pause(tp)  # it reads ahead otherwise
        self._ranges[partition] = begin, max(end, until), now


def _erases(record: Record) -> bool:
    try:
        action = codec.loads(record.value or b"")
    except codec.NotJson:
        return False
    return isinstance(action, dict) and action.get("action") == "forget"
