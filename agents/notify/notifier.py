"""One running notifier: it reads case events, writes the messages to send to `notify-log`, and sends them.

A message is on `notify-log` before the position behind its event is committed, and its outcome after the receiver has
answered. So a crash in between sends a message once more, under the same id.

A process that was frozen or cut off may have lost its partitions without knowing. It must neither send nor be believed.
So the group has to have confirmed its membership not longer ago than half a session before a message is sent, and each
record says since when its writer owns the partition: records of an earlier owner do not count.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError

from npsflow.agents.kafka.renewed_consumer import RenewedConsumer
from npsflow.agents.notify.attempt import Attempts
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import PAUSE, DeliveryLog, Recorder
from npsflow.agents.notify.digest_schedule import DigestSchedule
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.dispatcher import Dispatcher
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.first_start import FirstStart
from npsflow.agents.notify.holds import Holds
from npsflow.agents.notify.kind import Sender
from npsflow.agents.notify.membership import Membership
from npsflow.agents.notify.planner import Planner
from npsflow.schemas import topics
from npsflow.schemas.notify import Backlog, Delivery, LogRecord, decode_record
from npsflow.schemas.times import DAY
from npsflow.streams.engine.kafka.contact import Contact
from npsflow.streams.engine.loss import count_deleted
from npsflow.streams.notify.queue import DIGEST_PARTITION, Queue

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds after which it looks at the clock at the latest; all else it is woken for
_THREAD_AGE = 90 * DAY  # of a case without news: the log keeps its thread no longer, either
_MAX_WAITING = 50_000  # messages; further events stay in the topic


class Notifier(ConsumerRebalanceListener):  # type: ignore[misc]
    """`consumer` is in the notifier's group, and not subscribed."""

    def __init__(
        self,
        context: Context,
        consumer: RenewedConsumer,
        attempts: Attempts,
        events: EventCache,
        digests: Digests,
        delivery_log: DeliveryLog,
        sender: Sender,
    ) -> None:
        self._context, self._consumer, self._events = context, consumer, events
        self._event_topic = context.installation.topic(topics.SERVICE_RECOVERY)
        self._log_topic = context.installation.topic(topics.NOTIFY_LOG)
        self.contact = Contact(consumer, self._event_topic)
        self.queue = Queue()
        self._planner = Planner(context.name, context.settings, self.queue)
        self._recorder = Recorder(context, self.queue, delivery_log)
        self._first_start = FirstStart(context, self.queue, events, self._planner, self._recorder)
        self._membership = Membership(consumer, context.installation.session_ms)
        self._joined = False  # the group has assigned partitions
        self._unread: set[int] = set()  # partitions whose log is not read to its end
        self._steady = asyncio.Lock()  # held while events become messages: partitions are not revoked in between
        self._merging = False  # a comment is written into a message that waits for it
        self._digests = DigestSchedule(context, digests, self.queue, self._recorder, self._steady)
        self._holds = Holds(context, sender, self.queue)
        self._dispatcher = Dispatcher(
            context, self.queue, attempts, self._recorder, self._membership, self._holds,
            lambda: bool(self._unread) or self._merging,
        )  # fmt: skip
        context.metrics.waiting.labels(context.name).set_function(self.queue.waiting_count)
        context.metrics.oldest.labels(context.name).set_function(self._oldest_seconds)

    def ready(self) -> bool:
        """Whether it is in the group, and has read the log of all its partitions."""
        return self._joined and not self._unread

    def problems(self) -> list[str]:
        """Which addresses take no messages now, and why."""
        return self._holds.problems()

    def assignment(self) -> set[TopicPartition]:
        """The partitions of events and log that the group has assigned to it."""
        return set(self._consumer.assignment())

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; messages under way are given a moment to end."""
        self._consumer.subscribe([self._event_topic, self._log_topic], listener=self)
        try:
            while not stopping.is_set():
                await self._step()
        finally:
            await self._digests.cancel()
            await self._dispatcher.stop()
            await self._membership.commit(force=True)

    async def _step(self) -> None:
        wait = self._dispatcher.next_start() - self._context.clock()
        fetched = await self._consumer.getmany(timeout_ms=ceil(1000 * max(0.0, min(wait, _TICK))))
        for tp, records in fetched.items():
            if tp.topic == self._log_topic:
                self._read_log(records)
        await self._begin_events()
        for tp, records in fetched.items():
            if tp.topic == self._event_topic:
                await self._plan(tp, records)
        await self._pass_markers()
        self._limit_waiting()
        self.queue.expire_threads(self._context.now() - _THREAD_AGE)
        if DIGEST_PARTITION not in self._unread:
            self._digests.start_if_due()
        self._dispatcher.start()
        await self._membership.commit()

    # Which partitions.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit, end the messages of these partitions, and forget them."""
        self._joined = False
        partitions = {tp.partition for tp in revoked}
        await self._digests.cancel()
        async with self._steady:
            await self._membership.commit(force=True)
            self._membership.reset()
            self._unread.clear()
        await self._dispatcher.stop(partitions)
        for partition in partitions:
            self.queue.revoke(partition)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Read the log first, from its beginning, as nothing of it is ever committed; events wait until then."""
        for tp in assigned:
            if tp.topic == self._event_topic:
                self._consumer.pause(tp)
            else:
                self.queue.assign(tp.partition)
                self._unread.add(tp.partition)
        self._joined = True

    def _read_log(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.value and (record.key or b"").startswith(self._context.name.encode() + b"/"):
                try:
                    self._apply(record, decode_record(record.key, record.value))
                except ValueError:
                    log.error("not a delivery", extra={"partition": record.partition, "offset": record.offset})

    def _apply(self, record: Any, read: LogRecord) -> None:
        if isinstance(read, Delivery):
            self.queue.apply(record.partition, record.offset, read)
        elif isinstance(read, Backlog):
            self.queue.set_backlog(record.partition, read)
        else:
            self.queue.hurry(record.partition, read.event_id)
            if record.partition not in self._unread:
                self._holds.try_now()

    async def _begin_events(self) -> None:
        """Read the events once the log of all partitions is read to its end."""
        if not self._unread:
            return
        try:
            tps = {TopicPartition(self._log_topic, partition) for partition in self._unread}
            ends = await self._consumer.end_offsets(list(tps))
            if all([await self._consumer.position(tp) >= ends[tp] for tp in tps]):
                await self._begin(sorted(self._unread))
        except (KafkaError, IllegalStateError, TimeoutError):
            pass  # revoked meanwhile, or tried again in the next step

    async def _begin(self, partitions: Sequence[int]) -> None:
        """Go behind the newest event that is on the log or committed; on the very first start, some hours back."""
        offsets: dict[int, int] = {}
        for partition in partitions:
            self.queue.claim(partition, self._context.now())
            committed = await self._consumer.committed(TopicPartition(self._event_topic, partition))
            newest, backlog = self.queue.newest_offset(partition), self.queue.backlog(partition)
            known = [committed, None if newest is None else newest + 1, None if backlog is None else backlog.end]
            if found := [offset for offset in known if offset is not None]:
                offsets[partition] = max(found)
        async with self._steady:
            offsets |= await self._first_start.offsets([one for one in partitions if one not in offsets])
            for partition, offset in offsets.items():
                if not self.queue.owns(partition):
                    continue  # revoked meanwhile
                await self._first_start.send_backlog(partition)
                tp = TopicPartition(self._event_topic, partition)
                self._consumer.seek(tp, offset)
                self._consumer.resume(tp)
                self._membership.positions[tp] = offset
                self._unread.discard(partition)

    async def _pass_markers(self) -> None:
        """Nothing is unread before the position of the consumer: transaction markers count no more as lag."""
        for tp in list(self._membership.positions):
            try:
                position = await self._consumer.position(tp)
            except (KafkaError, IllegalStateError):
                continue  # revoked meanwhile
            if position > self._membership.positions.get(tp, position):
                with suppress(KafkaError):  # asked again in the next step
                    await self._note_loss(tp, position)
                    self._membership.positions[tp] = position

    async def _note_loss(self, tp: TopicPartition, found: int) -> None:
        """Say it where events before offset `found` were deleted unread: nobody can hear of them. Raises KafkaError."""
        expected = self._membership.positions[tp]
        if deleted := await count_deleted(self._consumer, tp, expected, found):
            self._context.metrics.lost.labels(self._context.name).inc(deleted)
            where = {"topic": tp.topic, "partition": tp.partition, "offset": expected, "end": expected + deleted}
            log.error("events were deleted before they were read: nobody hears of them", extra=where)

    def _limit_waiting(self) -> None:
        """Read no more events while too many messages wait."""
        tps = [tp for tp in self._consumer.assignment() if tp in self._membership.positions]
        if self.queue.waiting_count() > _MAX_WAITING:
            self._consumer.pause(*tps)
        elif tps and self._consumer.paused():
            self._consumer.resume(*tps)

    # What is to be sent.

    async def _plan(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        async with self._steady:
            if tp not in self._membership.positions:
                return  # revoked while those of another partition were written
            planned_offsets: set[int] = set()
            try:
                await self._note_loss(tp, records[0].offset)
                for planned in self._planner.plan(records, self._context.now()):
                    planned_offsets |= {delivery.offset for delivery in planned}
                    self._merging = any(delivery.state == "merged" for delivery in planned)
                    await self._recorder.record(tp.partition, planned)
            except (KafkaError, TimeoutError) as error:
                self._recorder.failed(error)
                # It may be written all the same: the log has to be read again before events are.
                self._consumer.pause(tp)
                del self._membership.positions[tp]
                self._unread.add(tp.partition)
                await asyncio.sleep(PAUSE)
                return
            finally:
                self._merging = False
            for record in records:
                if record.offset in planned_offsets:
                    self._events.add(record)
            self._membership.positions[tp] = records[-1].offset + 1

    def _oldest_seconds(self) -> float:
        oldest = self.queue.oldest_event_at()
        return 0.0 if oldest is None else max(0.0, self._context.clock() - oldest / 1000)
