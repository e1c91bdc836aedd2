"""The process that notifies: its share of the events becomes messages, which `delivering` sends.

What is to be sent stands on `notify-log` before the position behind its event is committed, and what became of it
after the other side has answered: a crash in between sends once more, under the same id.

Whoever has lost a partition without knowing, frozen or cut off, must neither send nor be believed. So before a message
is sent the group has to have confirmed that we belong to it, not longer ago than half a session. And what we write
carries since when we have the partition: whoever has it since later leaves it aside.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from msgspec.structs import replace

from npsflow.agents.notify.attempt import Attempts
from npsflow.agents.notify.delivery_log import Log
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.dispatcher import RESTING, Delivering, about
from npsflow.agents.notify.event_cache import Events
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.planner import Planning
from npsflow.schemas import topics
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.notify import Delivery, decode_delivery
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.queue import Queue
from npsflow.streams.notify.settings import Notifier

log = logging.getLogger(__name__)

_TICK = 200  # ms
_COMMIT = 1.0  # seconds from one to the next
_KNOWN = (
    90 * 86_400.0
)  # seconds that a case without news keeps its thread: whoever starts finds it no longer on the log
_MOST = 50_000  # messages waiting: more are left in the topic


class Notifying(ConsumerRebalanceListener):  # type: ignore[misc]
    """One notifier. `consumer` of its group, not subscribed; `clock` in seconds; `apart` as in Delivering."""

    def __init__(
        self,
        name: str,
        notifier: Notifier,
        attempts: Attempts,
        consumer: AIOKafkaConsumer,
        events: Events,
        digests: Digests,
        log_: Log,
        installation: Installation,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        apart: bool,
    ) -> None:
        self._name, self._notifier, self._consumer, self._clock = name, notifier, consumer, clock
        self._events, self._digests, self._log, self._metrics = events, digests, log_, metrics
        self._source, self._log_topic = (
            installation.topic(topics.SERVICE_RECOVERY),
            installation.topic(topics.NOTIFY_LOG),
        )
        self.queue = Queue()
        self._planning = Planning(name, notifier, self.queue)
        self._joined = False  # the group has said which partitions are ours
        self._unread: set[int] = set()  # partitions whose log is still read
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._member_until, self._member_for = 0.0, installation.session_ms / 2000  # seconds of the steady clock
        self._confirming = asyncio.Lock()
        self._digest: asyncio.Task[None] | None = None  # that is being put together
        self._steady = asyncio.Lock()  # held while events become messages: partitions do not go in between
        self._merging = False  # a comment into a message that waits for it
        self._delivering = Delivering(
            name, self.queue, attempts, metrics, self._write, self._expect_ours, self._held, clock, apart=apart
        )
        metrics.waiting.labels(name).set_function(self.queue.pending)
        metrics.oldest.labels(name).set_function(self._oldest)

    def ready(self) -> bool:
        """Whether it belongs to the group, and knows of all its partitions what was to be sent before."""
        return self._joined and not self._unread

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop; what is under way then is given a moment to end."""
        self._consumer.subscribe([self._source, self._log_topic], listener=self)
        try:
            while not stopping.is_set():
                await self._turn()
        finally:
            await self._no_digest()
            await self._delivering.end()
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
        self.queue.forget(int((self._clock() - _KNOWN) * 1000))
        self._start_digest()
        self._delivering.start()
        await self._commit()

    def _held(self) -> bool:
        """What waits may be settled further on in the log, or is just being merged with a comment."""
        return bool(self._unread) or self._merging

    # Which partitions.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._joined = False
        gone = {tp.partition for tp in revoked}
        await self._no_digest()
        async with self._steady:
            await self._commit(force=True)
            self._positions.clear()
            self._committed.clear()
            self._unread.clear()
            self._member_until = 0.0
        await self._delivering.end(gone)
        for partition in gone:
            self.queue.drop(partition)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Of the log nothing is ever committed: it is read from its beginning, and events only after it."""
        for tp in assigned:
            if tp.topic == self._source:
                self._consumer.pause(tp)
            else:
                self.queue.own(tp.partition)
                self._unread.add(tp.partition)
        self._joined = True

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
                    self.queue.claim(partition, int(self._clock() * 1000))
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
                    self._merging = any(delivery.state == "merged" for delivery in planned)
                    await self._write(tp.partition, planned)
            except (KafkaError, TimeoutError) as error:
                self._not_kept(error)
                # It may stand there all the same: only the log itself knows where to go on.
                self._consumer.pause(tp)
                del self._positions[tp]
                self._unread.add(tp.partition)
                await asyncio.sleep(RESTING)
                return
            finally:
                self._merging = False
            for record in records:
                self._events.remember(record)
            self._positions[tp] = records[-1].offset + 1

    async def _write(self, partition: int, deliveries: Sequence[Delivery]) -> None:
        stamped = [replace(delivery, owner=self.queue.claimed(partition)) for delivery in deliveries]
        offset = await self._log.write(partition, stamped)
        for number, delivery in enumerate(stamped):
            self.queue.put(partition, offset + number, delivery, ahead=True)
            if delivery.state == "given_up":
                self._metrics.given_up.labels(self._name).inc()
                log.error("a message is given up", extra=about(delivery))

    async def _commit(self, *, force: bool = False) -> None:
        now = time.monotonic()
        changed = {tp: at for tp, at in self._positions.items() if self._committed.get(tp) != at}
        if not changed or (now < self._commit_at and not force):
            return
        self._commit_at = now + _COMMIT
        try:
            await self._confirm(changed)
        except KafkaError as error:
            log.info("the position is not committed", extra={"error": type(error).__name__})

    async def _confirm(self, positions: dict[TopicPartition, int]) -> None:
        """Commits these, which only a member of the group can. Raises KafkaError."""
        asked = time.monotonic()
        try:
            await self._consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in positions.items()})
        except IllegalStateError as error:
            raise KafkaError(str(error)) from None
        self._committed |= positions
        self._member_until = asked + self._member_for

    async def _expect_ours(self) -> None:
        """Raises KafkaError."""
        async with self._confirming:
            if time.monotonic() >= self._member_until:
                if not self._positions:
                    raise KafkaError("the partitions are gone")
                await self._confirm(dict(self._positions))

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
            await asyncio.sleep(RESTING)
        finally:
            self._digest = None

    async def _no_digest(self) -> None:
        if self._digest is not None:
            self._digest.cancel()
            await asyncio.gather(self._digest, return_exceptions=True)

    def _not_kept(self, error: BaseException) -> None:
        self._metrics.produce_failures.inc()
        log.warning("Kafka did not take what became of messages", extra={"error": type(error).__name__})

    def _oldest(self) -> float:
        oldest = self.queue.oldest()
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000)
