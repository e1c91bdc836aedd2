"""Fetches what is due in this process's share of the queue, which is read from its beginning."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from npsflow.agents.fetch.attempt import Attempt, attempt, give_up
from npsflow.agents.fetch.metrics import Metrics
from npsflow.agents.fetch.queue import Due, Queue
from npsflow.agents.fetch.sources import Source
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer
from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.agents.sealing.sealer import CLEAR, Seals
from npsflow.schemas.fetch import decode_fetch
from npsflow.streams.engine.installation import Installation
from npsflow.streams.intake.entrance import KeyedRecord

log = logging.getLogger(__name__)

_CONCURRENT = 4  # attempts of one entrance
_POLL_MS, _REST_MS = 200, 1000  # while something is pending, and while nothing is
_PAUSE_SECONDS = 5.0  # without new attempts, after a failed write
_WRITE_SECONDS = 60.0


class Writer:
    """`partitions`: the count of every topic that is written to."""

    def __init__(
        self, producer: RenewedProducer, installation: Installation, partitions: int, sealer: Seals = CLEAR
    ) -> None:
        self._producer, self._installation, self._partitions = producer, installation, partitions
        self._sealer = sealer

    async def write(self, records: Sequence[KeyedRecord]) -> list[Any]:
        """aiokafka's metadata of each record, once all are acknowledged. Raises KafkaError, KafkaFailed."""
        outputs = [record.output(self._partitions) for record in await self._sealer.seal(records)]
        sent = [
            await self._producer.send(self._installation.topic(topic), value, key, partition, headers=headers)
            for topic, partition, key, value, headers in outputs
        ]
        return await asyncio.gather(*sent)


class Fetcher(ConsumerRebalanceListener):  # type: ignore[misc]
    """`sources` by entrance; `consumer` of the group, subscribed to nothing yet.

    `clock()` in seconds since 1970; `jitter()` from 0 to 1.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        consumer: RenewedConsumer,
        writer: Writer,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sources, self._consumer, self._writer, self._metrics = sources, consumer, writer, metrics
        self._clock, self._jitter = clock, jitter
        self._queue = Queue()
        self._joined = False  # the group has assigned partitions
        self._unread: dict[TopicPartition, int | None] = {}  # those not read to the end they had when assigned
        self._attempts: dict[asyncio.Task[None], Due] = {}
        self._paused_until = 0.0
        for name in sources:
            metrics.begin(name)
            metrics.pending.labels(name).set_function(partial(self._queue.pending, name))
            metrics.oldest.labels(name).set_function(partial(self._age, name))

    def ready(self) -> bool:
        """Whether it belongs to the group and has read all of its partitions."""
        return self._joined and not self._unread

    async def run(self, topic: str, stopping: asyncio.Event) -> None:
        """Fetch what the queue in `topic` asks for, until `stopping` is set.

        Attempts that are under way then are left to the next process.
        """
        self._consumer.subscribe([topic], listener=self)
        try:
            while not stopping.is_set():
                await self._read()
                if await self._all_read() and self._clock() >= self._paused_until:
                    self._start_due()
        finally:
            await self._cancel(self._attempts)

    # Partitions.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget these partitions and cancel their attempts."""
        self._joined = False
        gone = {tp.partition for tp in revoked}
        for partition in gone:
            self._queue.revoke(partition)
        self._unread.clear()
        await self._cancel(
            task for task, due in self._attempts.items() if gone.intersection(event.partition for event in due.events)
        )

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Each is read from its beginning: this group commits no offsets."""
        for tp in assigned:
            self._queue.assign(tp.partition)
            self._unread[tp] = None
        self._joined = True

    async def _cancel(self, attempts: Iterable[asyncio.Task[None]]) -> None:
        """An answer or a write that is lost is asked for again, which is harmless."""
        cancelled = list(attempts)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)

    # Reading.

    async def _read(self) -> None:
        wait = _POLL_MS if self._queue.entrances() else _REST_MS
        for tp, records in (await self._consumer.getmany(timeout_ms=wait)).items():
            for record in records:
                try:
                    fetch = decode_fetch(record.value) if record.value else None
                except msgspec.MsgspecError:
                    log.error("not a fetch", extra={"partition": tp.partition, "offset": record.offset})
                    continue
                self._queue.put(tp.partition, record.offset, record.key or b"", fetch)

    async def _all_read(self) -> bool:
        """Whether every partition is read to the end it had: before that, a tombstone may follow."""
        try:
            if new := [tp for tp, end in self._unread.items() if end is None]:
                ends = await self._consumer.end_offsets(new)
                self._unread.update((tp, end) for tp, end in ends.items() if tp in self._unread)
            for tp, end in list(self._unread.items()):
                if end is not None and await self._consumer.position(tp) >= end:
                    self._unread.pop(tp, None)
        except (KafkaError, TimeoutError):
            return False  # revoked meanwhile, or asked again in the next turn
        return not self._unread

    # Attempts.

    def _start_due(self) -> None:
        now, busy = self._clock(), Counter(due.fetch.entrance for due in self._attempts.values())
        for name in self._queue.entrances():
            source = self._sources.get(name)
            while busy[name] < _CONCURRENT and (source is None or source.api.open_at <= now):
                if (due := self._queue.take(name, int(now * 1000))) is None:
                    break
                busy[name] += 1
                task = asyncio.create_task(self._fetch(source, due))
                self._attempts[task] = due
                task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._queue.release(self._attempts.pop(task))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a try failed: please report this", extra={"error": type(error).__name__})

    async def _fetch(self, source: Source | None, due: Due) -> None:
        made = await attempt(source, due, self._clock(), self._jitter())
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                try:
                    await self._write(made)
                except MessageSizeTooLargeError:
                    made = give_up(due, "what it becomes is larger than Kafka takes", None, self._clock())
                    await self._write(made)
        except (KafkaError, KafkaFailed, TimeoutError) as error:
            self._metrics.produce_failures.inc()
            self._paused_until = self._clock() + _PAUSE_SECONDS
            log.warning("what was fetched could not be kept", extra={"error": type(error).__name__})
            return
        self._metrics.fetches.labels(due.fetch.entrance, made.outcome).inc()

    async def _write(self, made: Attempt) -> None:
        """The queue last, when all else is acknowledged: a crash in between fetches once more."""
        await self._writer.write(made.records)
        for record, ack in zip(made.queue, await self._writer.write(made.queue), strict=True):
            fetch = None if record.value is None else decode_fetch(record.value)
            self._queue.put(ack.partition, ack.offset, record.key or b"", fetch, ahead=True)

    def _age(self, name: str) -> float:
        oldest = self._queue.oldest(name)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000)
