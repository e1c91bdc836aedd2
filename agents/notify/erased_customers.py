"""Customers whom `npsflow forget` has removed: what was said of them before that is told to nobody any more."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.schemas import codec
from npsflow.streams.stage import Record

_KNOWN = 1.0  # seconds for which nothing new is looked for
_SECONDS = 10.0
_BACK = 3_600_000  # ms further back than was asked: what is asked about next may be a little older


class Forgotten:
    """`consumer` belongs to no group and is used for nothing else; `topic` is that of actions; `clock` in seconds.

    An action stands in the partition of its customer, as do the events about that customer. Of each partition actions
    are read as far back as the oldest event that was asked about.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, clock: Callable[[], float]) -> None:
        self._consumer, self._topic, self._clock = consumer, topic, clock
        self._read: dict[int, tuple[int, int, float]] = {}  # from, to, and when
        self._at: dict[tuple[int, str], int] = {}  # by partition and customer, when that was said last
        self._one_at_a_time = asyncio.Lock()

    async def concerns(self, record: Record, customers: set[str]) -> bool:
        """Whether one of these was forgotten since this event. Raises KafkaError, TimeoutError."""
        async with self._one_at_a_time, asyncio.timeout(_SECONDS):
            await self._look(record.partition, record.timestamp)
        return any(self._at.get((record.partition, who), 0) > record.timestamp for who in customers)

    async def _look(self, partition: int, since: int) -> None:
        consumer, tp, now = self._consumer, TopicPartition(self._topic, partition), self._clock()
        begin, end, looked = self._read.get(partition, (since, -1, 0.0))
        if end >= 0 and since >= begin and now < looked + _KNOWN:
            return
        consumer.assign([tp])
        if end < 0 or since < begin:
            begin = max(0, since - _BACK)
            found = (await consumer.offsets_for_times({tp: begin}))[tp]
            end = (await consumer.end_offsets([tp]))[tp] if found is None else found.offset
        until = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, end)
        while await consumer.position(tp) < until:
            for action in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                if _forgets(action.value):
                    self._at[partition, (action.key or b"").decode(errors="replace")] = action.timestamp
        self._read[partition] = begin, max(end, until), now


def _forgets(value: bytes | None) -> bool:
    try:
        action = codec.loads(value or b"")
    except codec.NotJson:
        return False
    return isinstance(action, dict) and action.get("action") == "forget"
