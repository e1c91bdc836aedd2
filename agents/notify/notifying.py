"""The process that notifies: its share of the events becomes messages, each sent until it is delivered or given up.

What is to be sent stands on `notify-log` before the position behind its event is committed, and what became of it
after the other side has answered: a crash in between sends once more, under the same id.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.notify.attempt import Attempts, Tried
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.events import Events
from npsflow.agents.notify.log import Log
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.planning import Planning
from npsflow.schemas import topics
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.notify import Delivery, decode_delivery
from npsflow.streams.notify.queue import Item, Queue
from npsflow.streams.notify.settings import Notifier
from npsflow.streams.settings import Where

log = logging.getLogger(__name__)

_AT_ONCE = 16  # messages under way
_TICK = 200  # ms
_COMMIT = 1.0  # seconds from one to the next
_RESTING = 1.0  # seconds, after Kafka did not take something
_GRACE = 3.0  # seconds for messages under way when their partitions go
_MOST = 50_000  # messages waiting: more are left in the topic


class Notifying(ConsumerRebalanceListener):  # type: ignore[misc]
    """One notifier. `consumer` of its group, not subscribed; `clock` in seconds, `jitter` from 0 to 1."""

    def __init__(
        self,
        name: str,
        notifier: Notifier,
        attempts: Attempts,
        consumer: AIOKafkaConsumer,
        events: Events,
        digests: Digests,
        log_: Log,
        where: Where,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name, self._notifier, self._attempts, self._consumer = name, notifier, attempts, consumer
        self._events, self._digests, self._log, self._metrics = events, digests, log_, metrics
        self._clock, self._jitter = clock, jitter
        self._source, self._log_topic = where.topic(topics.SERVICE_RECOVERY), where.topic(topics.NOTIFY_LOG)
        self.queue = Queue()
        self._planning = Planning(name, notifier, self.queue)
        self._unread: set[int] = set()  # partitions whose log is still read
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._tasks: dict[asyncio.Task[None], Item] = {}
        self._digest: asyncio.Task[None] | None = None  # that is being put together
        self._steady = asyncio.Lock()  # held while events become messages: partitions do not go in between
        self._open_at = 0.0
        self._gone = False
        self._ending = False  # what is under way ends, and nothing begins
        metrics.waiting.labels(name).set_function(self.queue.pending)
        metrics.oldest.labels(name).set_function(self._oldest)
        metrics.disabled.labels(name).set(0)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop; what is under way then is given a moment to end."""
        self._consumer.subscribe([self._source, self._log_topic], listener=self)
        try:
            while not stopping.is_set():
                await self._turn()
        finally:
            self._ending = True
            await self._no_digest()
            await self._end(self._tasks)
            await self._commit(force=True)

    async def _turn(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=_TICK)
        for tp, records in fetched.items():
            if tp.topic == self._log_topic:
                self._hear(records)
        await self._begin()
        for tp, records in fetched.items():
            if tp.topic == self._source:
                await self._take_in(tp, records)
        self._hold()
        self._start_digest()
        self._start()
        await self._commit()

    # Which partitions.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        gone = {tp.partition for tp in revoked}
        await self._no_digest()
        async with self._steady:
            await self._commit(force=True)
            self._positions.clear()
            self._committed.clear()
            self._unread.clear()
        was, self._ending = self._ending, True
        await self._end([task for task, item in self._tasks.items() if item.partition in gone])
        for partition in gone:
            self.queue.drop(partition)
        self._ending = was

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Of the log nothing is ever committed: it is read from its beginning, and events only after it."""
        for tp in assigned:
            if tp.topic == self._source:
                self._consumer.pause(tp)
            else:
                self.queue.own(tp.partition)
                self._unread.add(tp.partition)

    async def _end(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Whoever comes next sends again what has got no answer by then."""
        if left := list(tasks):
            await asyncio.wait(left, timeout=_GRACE)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _hear(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.value and (record.key or b"").startswith(self._name.encode() + b"/"):
                try:
                    delivery = decode_delivery(record.value)
                except ValueError:
                    log.error("not a delivery", extra={"partition": record.partition, "offset": record.offset})
                    continue
                self.queue.put(record.partition, record.offset, delivery)

    async def _begin(self) -> None:
        """Events are read of each partition whose log is known to its end."""
        if not self._unread:
            return
        try:
            tps = {partition: TopicPartition(self._log_topic, partition) for partition in self._unread}
            ends = await self._consumer.end_offsets(list(tps.values()))
            for partition, tp in tps.items():
                if await self._consumer.position(tp) >= ends[tp]:
                    await self._seek(TopicPartition(self._source, partition))
                    self._unread.discard(partition)
        except (KafkaError, IllegalStateError):
            pass  # taken away meanwhile, or asked again at the next turn

    async def _seek(self, tp: TopicPartition) -> None:
        """Behind the newest event that is known or committed; on the very first start, some hours back."""
        known, committed = self.queue.last(tp.partition), await self._consumer.committed(tp)
        if known is None and committed is None:
            since = int((self._clock() - self._notifier.first_hours * 3600) * 1000)
            found = (await self._consumer.offsets_for_times({tp: since}))[tp]
            offset = found.offset if found is not None else (await self._consumer.end_offsets([tp]))[tp]
        else:
            offset = max(committed or 0, -1 if known is None else known + 1)
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)
        self._positions[tp] = offset

    def _hold(self) -> None:
        """What is too much is left in the topic until there is room."""
        tps = [tp for tp in self._consumer.assignment() if tp in self._positions]
        if self.queue.pending() > _MOST:
            self._consumer.pause(*tps)
        elif tps and self._consumer.paused():
            self._consumer.resume(*tps)

    # What is to be sent.

    async def _take_in(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        async with self._steady:
            if tp not in self._positions:
                return  # taken away while others were written
            try:
                for planned in self._planning.plan(records, int(self._clock() * 1000)):
                    await self._write(tp.partition, planned)
            except (KafkaError, TimeoutError) as error:
                self._not_kept(error)
                self._consumer.seek(tp, self._positions[tp])
                await asyncio.sleep(_RESTING)
                return
            for record in records:
                self._events.remember(record)
            self._positions[tp] = records[-1].offset + 1

    async def _write(self, partition: int, deliveries: Sequence[Delivery]) -> None:
        offset = await self._log.write(partition, deliveries)
        for number, delivery in enumerate(deliveries):
            self.queue.put(partition, offset + number, delivery, ahead=True)
            if delivery.state == "given_up":
                self._metrics.given_up.labels(self._name).inc()
                log.error("a message is given up", extra=_about(delivery))

    async def _commit(self, *, force: bool = False) -> None:
        now = time.monotonic()
        changed = {tp: at for tp, at in self._positions.items() if self._committed.get(tp) != at}
        if not changed or (now < self._commit_at and not force):
            return
        self._commit_at = now + _COMMIT
        try:
            await self._consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in changed.items()})
            self._committed |= changed
        except (KafkaError, IllegalStateError) as error:
            log.info("the position is not committed", extra={"error": type(error).__name__})

    # The digest: whoever has the first partition sends it.

    def _start_digest(self) -> None:
        if self._digest is None and self.queue.owns(0) and 0 not in self._unread:
            until = self._digests.slot(self._clock())
            if until > self.queue.digested:
                self._digest = asyncio.create_task(self._plan_digest(self.queue.digested, until))

    async def _plan_digest(self, since: int, until: int) -> None:
        try:
            planned = await self._digests.plan(since, until, int(self._clock() * 1000))
            async with self._steady:
                if self.queue.owns(0):
                    await self._write(0, planned)
        except (KafkaError, NpsflowError, TimeoutError) as error:
            self._not_kept(error)
            await asyncio.sleep(_RESTING)
        finally:
            self._digest = None

    async def _no_digest(self) -> None:
        if self._digest is not None:
            self._digest.cancel()
            await asyncio.gather(self._digest, return_exceptions=True)

    # Sending it.

    def _start(self) -> None:
        while not (self._gone or self._ending) and self._clock() >= self._open_at and len(self._tasks) < _AT_ONCE:
            item = self.queue.take(int(self._clock() * 1000))
            if item is None:
                return
            task = asyncio.create_task(self._try(item))
            self._tasks[task] = item
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.queue.release(self._tasks.pop(task))
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("a message failed: please report this", extra={"error": type(error).__name__})
        elif not self._unread:
            self._start()

    async def _try(self, item: Item) -> None:
        if self._gone or self._clock() < self._open_at:
            return
        try:
            tried = await self._attempts.attempt(item, self.queue.thread(item), self._clock, self._jitter())
        except (KafkaError, TimeoutError) as error:
            self._open_at = max(self._open_at, self._clock() + _RESTING)
            log.warning("an event cannot be read again just now", extra={"error": type(error).__name__})
            return
        self._open_at = max(self._open_at, tried.open_at)
        if tried.gone and not self._gone:
            self._gone = True
            self._metrics.disabled.labels(self._name).set(1)
            log.error("it wants nothing any more: what waits stays until a restart", extra={"notifier": self._name})
        self._metrics.deliveries.labels(self._name, tried.outcome).inc()
        if tried.then is not None:
            await self._keep(item.partition, tried, tried.then)

    async def _keep(self, partition: int, tried: Tried, then: Delivery) -> None:
        """What became of it is written however long that takes: until then nothing more of its line is sent."""
        while True:
            try:
                await self._write(partition, [then])
                break
            except (KafkaError, TimeoutError) as error:
                self._not_kept(error)
                await asyncio.sleep(_RESTING)
        if then.state == "delivered":
            self._metrics.seconds.labels(self._name).observe(max(0.0, (then.at - then.event_at) / 1000))
        elif then.state == "waiting":
            log.warning("a message is not delivered yet", extra=_about(then))

    def _not_kept(self, error: BaseException) -> None:
        self._metrics.produce_failures.inc()
        log.warning("Kafka did not take what became of messages", extra={"error": type(error).__name__})

    def _oldest(self) -> float:
        oldest = self.queue.oldest()
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000)


def _about(delivery: Delivery) -> dict[str, object]:
    return {
        "notifier": delivery.notifier, "event": delivery.event_id, "why": delivery.error, "tries": delivery.attempts,
    }  # fmt: skip
