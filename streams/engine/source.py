"""The consumer of one stage: reads the input of its tasks, gives their batches to the agent, and sees to commits."""

import asyncio
import logging
import time
from collections.abc import Callable
from math import ceil
from types import TracebackType
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError
from mode import Service

from npsflow.schemas.errors import StateError, TransactionFailed
from npsflow.streams.engine import admin
from npsflow.streams.engine.assignment import Assignment
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.context import Context
from npsflow.streams.engine.kafka.bare_records import give_bare_records
from npsflow.streams.engine.kafka.broken_consumer import ConsumerBroken, is_broken
from npsflow.streams.engine.kafka.changelog_reader import ChangelogReader
from npsflow.streams.engine.kafka.clients import client_of, client_options, guarded, stage_consumer
from npsflow.streams.engine.kafka.contact import Contact
from npsflow.streams.engine.kafka.log_starts import LogStarts
from npsflow.streams.engine.loss import count_deleted
from npsflow.streams.engine.namesake import Namesake
from npsflow.streams.engine.observer import Accepted, Fetched, Lagging, Paused
from npsflow.streams.engine.pace import Pace
from npsflow.streams.engine.restorer import Restorer
from npsflow.streams.engine.task import Task
from npsflow.streams.stage import Record

log = logging.getLogger(__name__)

_IDLE_EVERY = 1.0
_PURGE_EVERY = 15.0
_BEGIN = 40.0  # seconds to ask where a partition begins; nothing else is read meanwhile
_END = 1.0  # and where it ends
_HEARD = 5.0  # seconds for which what Kafka said of an end is believed; it says so twice a second
_STOP = 3.0  # seconds for the last commits
_REBUILD = 30.0  # and for those of a rebuild, which nothing presses


class Batch:
    """Records of one task on their way through the agent.

    An exception in the `with` block drops the task, to be restored and replayed, and is dealt with thereby: the agent
    goes on with the batches of others.
    """

    begin = 0
    """The offset from which on these are all the records there are."""

    def __init__(self, source: "Source", task: Task, topic: str, records: list[Record]) -> None:
        self._source, self.task, self.topic = source, task, topic
        self._epoch = task.epoch
        self.records, self.position = records, records[-1].offset + 1

    def __enter__(self) -> "Batch":
        return self

    @property
    def current(self) -> bool:
        """Whether the task is still as it was when the records were fetched: else it reads them again, or another."""
        return self.task.active and self.task.epoch == self._epoch

    def fold(self) -> None:
        """Fold the records into the task's state, unless the task has been lost meanwhile.

        Raises StateError when the batch before this one was not folded.
        """
        task = self.task
        if not self.current or task.paused:
            return
        if (position := task.position.offsets.get(self.topic, 0)) != self.begin:
            first = self.records[0]
            message = f"a batch that begins at {self.begin} came where {position} is next: one was lost on the way"
            raise StateError(message, topic=first.topic, partition=first.partition, offset=first.offset)
        began = time.monotonic()
        task.process(self.topic, self.records, self.position)
        self._source.end_fold(task, time.monotonic() - began)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if error is not None:
            self._source.drop(self.task, error)
        return isinstance(error, Exception)


class Source(Service):
    """One stage on this worker. `send` puts a batch into the agent's channel."""

    def __init__(self, context: Context, send: Callable[[Batch], Any], pace: Pace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage, self.installation = context.stage, context.installation
        self._context, self._send = context, send
        self._observe, self._hold = context.observer.observe, context.observer.hold
        self._topics = {self.installation.topic(name): name for name in self.stage.inputs}
        self._contact: Contact | None = None
        self._assignment = Assignment(
            context, pace, on_ready=self._begin_reading, spawn=self.add_future, crash=self.crash
        )

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored and being read."""
        return self._assignment.complete

    def silent_for(self) -> float:
        """Seconds since Kafka was last heard of; 0 before it starts."""
        return 0.0 if self._contact is None else self._contact.silent_for()

    @property
    def tasks(self) -> dict[int, Task]:
        """By partition, those that are restored."""
        return self._assignment.tasks

    # Life of the service.

    async def on_start(self) -> None:
        """Connect, check the topics and join the group. Raises StateError for topics of the wrong shape."""
        context, name, group = self._context, self._context.settings.name, self.installation.group(self.stage.name)
        instance = None if name is None else f"{group}-{name}"
        self._consumer = stage_consumer(self.installation, self.stage.name, instance)
        self._log_starts = LogStarts(self._consumer)
        self._reader = ChangelogReader(self.installation)
        self._admin = guarded(AIOKafkaAdminClient(**client_options(self.installation)))
        await self._reader.start()
        await self._admin.start()
        await self._consumer.start()
        give_bare_records(self._consumer)
        partitions = await admin.input_counts(client_of(self._consumer), self.stage, self.installation)
        self._contact = Contact(self._consumer, next(iter(self._topics)))
        clock = BrokerClock(time.monotonic, time.time)
        restorer = Restorer(context, self._reader, self._consumer, partitions, clock)
        namesake = Namesake(self._consumer, client_of(self._admin), group, instance, self.installation.session_ms)
        self._assignment.start(self._consumer, restorer, next(iter(partitions.values())), namesake)

    async def on_stop(self) -> None:
        """Commit what was folded, and leave the group."""
        await self._assignment.close(_STOP)
        await self._consumer.stop()
        await self._reader.stop()
        await self._admin.close()

    @Service.task
    async def _keep_contact(self) -> None:
        if self._contact is not None:
            await self._contact.keep()

    # Reading.

    @Service.task
    async def _poll(self) -> None:
        idle_at, most = 0.0, self._context.settings.records_per_batch
        while not self.should_stop:
            wait = max(0.0, idle_at - self.loop.time())
            fetched = await self._consumer.getmany(timeout_ms=ceil(1000 * wait), max_records=most)
            # Bind records to their tasks before anything is awaited: one restored or regained meanwhile reads again.
            batches = [
                (tp, Batch(self, task, self._topics[tp.topic], records))
                for tp, records in fetched.items()
                if (task := self.tasks.get(tp.partition)) is not None
            ]
            for tp, batch in batches:
                if batch.current:
                    await self._send_batch(tp, batch)
            if (now := self.loop.time()) >= idle_at:
                idle_at = now + _IDLE_EVERY
                # Its tasks would have to be taken from it: that is what another worker does.
                if not self.should_stop and is_broken(self._consumer):
                    await self.crash(ConsumerBroken(self.stage.name))
                    return
                for task in list(self.tasks.values()):
                    if task.active:
                        await self._check_end(task)
                await self._resume_accepted()

    async def _send_batch(self, tp: TopicPartition, batch: Batch) -> None:
        """Give a batch to the agent, if it goes on where the last one ended."""
        task, topic, first = batch.task, batch.topic, batch.records[0].offset
        await self._hold(Fetched(self._context.task(task.partition), topic, first, len(batch.records)))
        expected = task.next_offset(topic)
        if (error := await self._find_gap(tp, expected, first)) is not None:
            if batch.current:
                self.drop(task, error)
            return
        while task.full and batch.current:
            await self._assignment.committer.wait(task)
        if batch.current:
            batch.begin = expected
            task.mark_sent(topic, batch.position)
            await self._send(batch)

    async def _find_gap(self, tp: TopicPartition, expected: int, first: int) -> Exception | None:
        """Give what is wrong if `first` comes instead of offset `expected`. Transactions leave gaps that are right."""
        deleted = 0
        try:
            if not self._log_starts.covers(tp, expected):
                async with asyncio.timeout(_BEGIN):
                    deleted = await count_deleted(self._reader.consumer, tp, expected, first)
        except (KafkaError, TimeoutError) as error:  # nobody knows what is between
            failed: Exception = error
            return failed
        if expected <= first and not deleted:
            return None
        message = "records were deleted before they were read, or the topic was made anew"
        return StateError(message, topic=tp.topic, partition=tp.partition, offset=expected)

    async def _check_end(self, task: Task) -> None:
        """Once a second: how far the task is behind, and what it has to say at the end of its input."""
        if (lag := await self._lag(task)) is not None:
            self._observe(Lagging(self._context.task(task.partition), lag))
            if lag == 0 and task.active and not task.paused:
                task.idle()
        if task.dirty:
            self._assignment.committer.schedule(task)

    async def _lag(self, task: Task) -> int | None:
        """Records that the task has not read; None where nobody knows."""
        lag, epoch = 0, task.epoch
        for prefixed, topic in self._topics.items():
            tp = TopicPartition(prefixed, task.partition)
            if tp not in self._consumer.assignment() or (end := await self._end(tp)) is None:
                return None
            if not task.active or task.epoch != epoch:  # lost while asking
                return None
            position = folded = task.position.offsets.get(topic, 0)
            if not task.in_flight(topic):
                try:
                    position = await self._consumer.position(tp)
                except IllegalStateError:
                    return None
                if not task.active or task.epoch != epoch:  # lost while asking
                    return None
            lag += max(0, end - position)
            if lag == 0 and not task.paused and position > folded:
                await self._pass_markers(task, tp, folded, position)
        return lag

    async def _pass_markers(self, task: Task, tp: TopicPartition, folded: int, position: int) -> None:
        """Let the ends of transactions count as read, so that tools see no lag.

        What was deleted looks the same: the client has jumped over it, and perhaps no record ever follows.
        """
        epoch, topic = task.epoch, self._topics[tp.topic]
        error = await self._find_gap(tp, folded, position)
        if not task.active or task.epoch != epoch or task.next_offset(topic) != folded:
            return  # lost or read on while asking
        if error is None:
            task.advance(topic, position)
        else:
            self.drop(task, error)

    async def _end(self, tp: TopicPartition) -> int | None:
        """Where an assigned partition ends now; None where nobody knows."""
        if tp in self._consumer.paused():  # nothing is fetched that would say so
            try:
                async with asyncio.timeout(_END):
                    ends: dict[TopicPartition, int] = await self._reader.consumer.end_offsets([tp])
                return ends[tp]
            except (KafkaError, TimeoutError):
                return None
        if self._contact is None or self._contact.silent_on(tp) > _HEARD:
            return None
        end: int | None = self._consumer.highwater(tp)
        return end

    def _begin_reading(self, task: Task) -> None:
        """Read on where a restored task stands, unless it is paused."""
        inputs = self._assignment.inputs(task.partition)
        for tp in inputs:
            self._consumer.seek(tp, task.position.offsets[self._topics[tp.topic]])
        if task.paused:
            self._pause(task)
        else:
            self._consumer.resume(*inputs)

    def drop(self, task: Task, error: BaseException) -> None:
        """Forget a task that failed in the middle of a batch, and restore it."""
        self._assignment.drop(task, error)

    def end_fold(self, task: Task, seconds: float) -> None:
        """See to what a batch asks for that took so long to fold: a commit, perhaps a pause."""
        self._assignment.committer.folded(task, seconds)
        if task.paused:
            self._pause(task)

    async def end_rebuild(self) -> None:
        """Read no further, and write that what was rebuilt is whole, so that workers may have it.

        Raises TransactionFailed when the last commits do not end well in time.
        """
        tasks = list(self.tasks.values())
        self._consumer.pause(*(tp for task in tasks for tp in self._assignment.inputs(task.partition)))
        for task in tasks:
            task.end_rebuild()
        in_time = await self._assignment.committer.finish(tasks, _REBUILD)
        if unfinished := [task.partition for task in tasks if not task.active or not in_time]:
            state = self.installation.changelog(self.stage.name, "state")
            raise TransactionFailed("the last commit did not end: run it again", topic=state, partition=unfinished[0])

    # Pauses: the stage asks for one, a person ends it.

    def _pause(self, task: Task) -> None:
        self._consumer.pause(*self._assignment.inputs(task.partition))
        self._observe(Paused(self._context.task(task.partition), dict(task.position.offsets)))

    async def _resume_accepted(self) -> None:
        """Go on with paused tasks that a person has accepted.

        `npsflow dlq accept` commits, in a group of its own, up to where dead letters are accepted.
        """
        paused = [task for task in self.tasks.values() if task.paused]
        if not paused:
            return
        try:
            accepted = await self._admin.list_consumer_group_offsets(self.installation.group("dlq-accept"))
        except KafkaError as error:
            log.info("cannot ask what is accepted, trying again: %s", error)
            return
        for task in paused:
            offsets = {
                tp: task.position.offsets[self._topics[tp.topic]] for tp in self._assignment.inputs(task.partition)
            }
            if task.paused and all(tp in accepted and accepted[tp].offset >= o for tp, o in offsets.items()):
                task.accept()
                for tp, offset in offsets.items():
                    self._consumer.seek(tp, offset)
                self._consumer.resume(*offsets)
                self._observe(Accepted(self._context.task(task.partition)))

    @Service.timer(_PURGE_EVERY)
    async def _purge(self) -> None:
        for task in list(self.tasks.values()):
            if task.active:
                try:
                    await task.changelog.purge(self._admin)
                except Exception as error:
                    log.warning("purge failed, trying again later: %s", error, extra={"partition": task.partition})
