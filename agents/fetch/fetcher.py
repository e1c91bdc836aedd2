"""The process that fetches: its share of the queue, read from the beginning, and tries for what is due."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError, MessageSizeTooLargeError

from npsflow.agents.fetch.attempt import Tried, attempt, dead
from npsflow.agents.fetch.metrics import Metrics
from npsflow.agents.fetch.queue import Due, Queue
from npsflow.agents.fetch.sources import Source
from npsflow.schemas import topics
from npsflow.schemas.fetch import decode_fetch
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.engine.installation import Installation

log = logging.getLogger(__name__)

_AT_ONCE = 4  # tries of one entrance
_TICK = 200  # ms
_RESTING = 5.0  # seconds, after Kafka did not take something
_KAFKA_SECONDS = 60.0


class Fetcher(ConsumerRebalanceListener):  # type: ignore[misc]
    """`sources` by entrance; `consumer` of the group, not subscribed; `producer` idempotent; `partitions` of a topic.

    `clock` in seconds, `jitter` from 0 to 1.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        installation: Installation,
        partitions: int,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sources, self._consumer, self._producer = sources, consumer, producer
        self._installation, self._partitions, self._metrics = installation, partitions, metrics
        self._clock, self._jitter = clock, jitter
        self._queue = Queue()
        self._joined = False  # the group has said which partitions are ours
        self._unread: dict[TopicPartition, int | None] = {}  # where each that is still read ended when it was assigned
        self._tries: dict[asyncio.Task[None], Due] = {}
        self._resting_until = 0.0
        for name in sources:
            metrics.pending.labels(name).set_function(partial(self._queue.pending, name))
            metrics.oldest.labels(name).set_function(partial(self._waiting, name))

    def ready(self) -> bool:
        """Whether it belongs to the group, and knows of all its partitions what waits there."""
        return self._joined and not self._unread

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop; what is under way then is left to whoever comes next."""
        self._consumer.subscribe([self._installation.topic(topics.FETCHES)], listener=self)
        try:
            while not stopping.is_set():
                await self._read()
                if await self._all_read() and self._clock() >= self._resting_until:
                    self._start()
        finally:
            await self._cancel(self._tries)

    # Which partitions.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._joined = False
        gone = {tp.partition for tp in revoked}
        for partition in gone:
            self._queue.drop(partition)
        self._unread.clear()
        await self._cancel(
            task for task, due in self._tries.items() if gone.intersection(event.partition for event in due.events)
        )

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing is ever committed for this group: each is read from its beginning."""
        for tp in assigned:
            self._queue.own(tp.partition)
            self._unread[tp] = None
        self._joined = True

    async def _cancel(self, tries: Iterable[asyncio.Task[None]]) -> None:
        """An answer or a write that is lost by it is asked for again, which is harmless."""
        stopped = list(tries)
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)

    # What stands in them.

    async def _read(self) -> None:
        for tp, records in (await self._consumer.getmany(timeout_ms=_TICK)).items():
            for record in records:
                try:
                    fetch = decode_fetch(record.value) if record.value else None
                except msgspec.MsgspecError:
                    log.error("not a fetch", extra={"partition": tp.partition, "offset": record.offset})
                    continue
                self._queue.put(tp.partition, record.offset, record.key or b"", fetch)

    async def _all_read(self) -> bool:
        """Whether every partition is known up to where it ended; before that a tombstone may be still ahead."""
        try:
            if new := [tp for tp, end in self._unread.items() if end is None]:
                ends = await self._consumer.end_offsets(new)
                self._unread.update((tp, end) for tp, end in ends.items() if tp in self._unread)
            for tp, end in list(self._unread.items()):
                if end is not None and await self._consumer.position(tp) >= end:
                    self._unread.pop(tp, None)
        except IllegalStateError:
            pass  # taken away meanwhile
        return not self._unread

    # What is done about it.

    def _start(self) -> None:
        now, busy = self._clock(), Counter(due.fetch.entrance for due in self._tries.values())
        for name in self._queue.entrances():
            source = self._sources.get(name)
            while busy[name] < _AT_ONCE and (source is None or source.api.open_at <= now):
                if (due := self._queue.take(name, int(now * 1000))) is None:
                    break
                busy[name] += 1
                task = asyncio.create_task(self._try(source, due))
                self._tries[task] = due
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._queue.release(self._tries.pop(task))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a try failed: please report this", extra={"error": type(error).__name__})

    async def _try(self, source: Source | None, due: Due) -> None:
        tried = await attempt(source, due, self._clock(), self._jitter())
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                try:
                    await self._write(tried)
                except MessageSizeTooLargeError:
                    tried = dead(due, "what it becomes is larger than Kafka takes", None, self._clock())
                    await self._write(tried)
        except (KafkaError, TimeoutError) as error:
            self._metrics.produce_failures.inc()
            self._resting_until = self._clock() + _RESTING
            log.warning("what was fetched could not be kept", extra={"error": type(error).__name__})
            return
        self._metrics.fetches.labels(due.fetch.entrance, tried.outcome).inc()

    async def _write(self, tried: Tried) -> None:
        """The tombstone only when all that stands for it is acknowledged. A crash in between fetches once more."""
        sent = [
            await self._producer.send(
                self._installation.topic(topic), value, key, self._partition(key), headers=headers
            )
            for (topic, key, value), headers in tried.first
        ]
        await asyncio.gather(*sent)
        topic = self._installation.topic(topics.FETCHES)
        acks = [await self._producer.send(topic, value, key, self._partition(key)) for key, value in tried.then]
        for (key, value), ack in zip(tried.then, await asyncio.gather(*acks), strict=True):
            self._queue.put(ack.partition, ack.offset, key, None if value is None else decode_fetch(value), ahead=True)

    def _partition(self, key: bytes) -> int:
        return partition_of(key, self._partitions)

    def _waiting(self, name: str) -> float:
        oldest = self._queue.oldest(name)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000)
