"""The consumer of one stage: assigns tasks, restores them, hands their batches to the agent, and commits.

Rebalance callbacks only pause, mark and finish what is open: aiokafka's rebalance time-out is its session time-out, so
a restore inside a callback would get its worker evicted. Restoring happens outside, with the partition paused, and
position and state come from one place, the changelog.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from mode import Service

from npsflow.schemas.errors import StateError
from npsflow.streams.calm import calm
from npsflow.streams.changelog import purge
from npsflow.streams.committer import Committer, Pacer
from npsflow.streams.logs import describe
from npsflow.streams.metrics import Metrics
from npsflow.streams.restorer import Restorer
from npsflow.streams.settings import Where
from npsflow.streams.stage import Record, Stage
from npsflow.streams.task import BrokerClock, Task

log = logging.getLogger(__name__)

_MOST_RECORDS = 250  # in one fold: it holds up commits, and each needs some thirty turns of the event loop
_POLL = 0.1
_FETCH_WAIT = 100  # ms; a broker answers one request of a connection at a time, all others wait behind a fetch
_IDLE_EVERY = 1.0
_PURGE_EVERY = 60.0
_BACKOFF = (0.2, 5.0)
_STOP = 3.0  # seconds for the last commits


class Batch:
    """Records of one task on their way through the agent. Leaving the `with` block by an exception drops the task."""

    def __init__(self, source: "Source", task: Task, topic: str, records: list[Record], position: int) -> None:
        self._source, self._task, self._topic = source, task, topic
        self._epoch = task.epoch
        self.records, self.position = records, position

    def __enter__(self) -> "Batch":
        return self

    def fold(self) -> None:
        """Fold the records into the task's state, unless the task has been lost meanwhile."""
        task = self._task
        if not task.closed and not task.fold.paused and task.epoch == self._epoch:
            task.process(self._topic, self.records, self.position)
            self._source.folded(task)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._source.drop(self._task, error)


class Source(Service):
    """One stage on this worker. `send` puts a batch into the agent's channel; `client` configures Kafka clients."""

    def __init__(
        self,
        stage: Stage,
        where: Where,
        client: dict[str, Any],
        send: Callable[[Batch], Any],
        metrics: Metrics,
        pacer: Pacer,
        name: str | None = None,
        rebuilding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._instance = None if name is None else f"{where.group(stage.name)}-{name}"
        self._rebuilding = rebuilding
        self.stage, self.where, self.tasks = stage, where, dict[int, Task]()
        self._client, self._send, self._metrics = client, send, metrics
        self._committer = Committer(stage.name, metrics, pacer, self._committed)
        self._topics = {where.topic(name): name for name in stage.inputs}
        self._partitions: dict[str, int] = {}
        self._assigned: set[int] | None = None
        self._kept: dict[int, Task] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored and being read."""
        return self._assigned is not None and self._assigned == {p for p, t in self.tasks.items() if not t.closed}

    # Life of the service.

    async def on_start(self) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._client,
            group_id=self.where.group(self.stage.name),
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self.where.session_ms,
            heartbeat_interval_ms=max(100, self.where.session_ms // 4),
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=_FETCH_WAIT,
        )
        self._reader = AIOKafkaConsumer(
            **self._client, group_id=None, isolation_level="read_committed", auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=_FETCH_WAIT,
        )  # fmt: skip
        for consumer in (self._consumer, self._reader):
            calm(consumer._client)
        # Else it gives up on offsets just before its client gives up on the request, and never renews the connection.
        self._reader._request_timeout_ms *= 2
        self._admin = AIOKafkaAdminClient(**self._client)
        await self._reader.start()
        await self._admin.start()
        await self._consumer.start()
        await self._check_topics()
        self._restorer = Restorer(
            self.stage,
            self.where,
            self._client,
            self._reader,
            self._consumer,
            self._partitions,
            self._metrics,
            BrokerClock(time.monotonic, time.time),
            self._rebuilding,
        )
        self._consumer.subscribe(list(self._topics), listener=_Listener(self))

    async def on_stop(self) -> None:
        await self._cancel_restore()
        await self._committer.finish(self.tasks.values(), _STOP)
        for task in [*self.tasks.values(), *self._kept.values()]:
            await self._close(task)
        await self._consumer.stop()
        await self._reader.stop()
        await self._admin.close()

    async def _check_topics(self) -> None:
        """Input topics and changelogs exist, with one partition count."""
        for prefixed, name in self._topics.items():
            self._partitions[name] = await self._count(prefixed)
        topics = [self.where.changelog(self.stage.name, "state")]
        if self.stage.logs:
            topics.append(self.where.changelog(self.stage.name, "remembered"))
        for changelog_topic in topics:
            count = await self._count(changelog_topic)
            if {count} != set(self._partitions.values()):
                raise StateError(
                    f"it has {count} partitions where the input has {self._partitions}: a changed count moves keys to "
                    "other tasks; set it back, or run `npsflow rebuild`",
                    topic=changelog_topic,
                    partition=0,
                )

    async def _count(self, topic: str) -> int:
        (described,) = await self._admin.describe_topics([topic])
        if not described["partitions"]:
            raise StateError("topic does not exist: run `npsflow topics create`", topic=topic, partition=0)
        return len(described["partitions"])

    # Reading.

    @Service.task
    async def _poll(self) -> None:
        idle_at = 0.0
        while not self.should_stop:
            fetched = await self._consumer.getmany(timeout_ms=int(_POLL * 1000), max_records=_MOST_RECORDS)
            # Bind records to their tasks before anything is awaited: a task restored meanwhile has another position.
            batches = [(self.tasks.get(tp.partition), tp, records) for tp, records in fetched.items()]
            for task, tp, records in batches:
                if task is not None and not task.closed:
                    await self._hand_over(task, tp, records)
            if (now := self.loop.time()) >= idle_at:
                idle_at = now + _IDLE_EVERY
                await self._look_around()
                await self._resume_accepted()

    async def _hand_over(self, task: Task, tp: TopicPartition, records: list[Any]) -> None:
        topic = self._topics[tp.topic]
        expected = max(task.position.offsets.get(topic, 0), task.handed.get(topic, 0))
        first = records[0].offset
        begin = expected
        if first > expected:
            try:
                begin = (await self._reader.beginning_offsets([tp]))[tp]
            except KafkaError as error:  # nobody knows what is between
                self.drop(task, error)
                return
        if first < expected or begin > expected:
            message = "records were deleted before they were read, or the topic was made anew"
            self.drop(task, StateError(message, topic=tp.topic, partition=tp.partition, offset=expected))
            return
        while task.full and not task.closed:
            await self._committer.ended(task)
        task.handed[topic] = records[-1].offset + 1
        await self._send(Batch(self, task, topic, records, records[-1].offset + 1))

    async def _look_around(self) -> None:
        """Once a second: lag, and what tasks at the end of their input have to say."""
        for task in list(self.tasks.values()):
            if task.closed:
                continue
            lag = 0
            for prefixed, topic in self._topics.items():
                tp = TopicPartition(prefixed, task.partition)
                if tp not in self._consumer.assignment() or (end := self._consumer.highwater(tp)) is None:
                    lag = -1
                    break
                position = folded = task.position.offsets.get(topic, 0)
                if task.handed.get(topic, 0) <= folded:  # else a batch is still on its way through the agent
                    try:
                        position = await self._consumer.position(tp)
                    except IllegalStateError:  # lost while asking
                        lag = -1
                        break
                lag += max(0, end - position)
                if lag == 0 and not task.fold.paused and position > folded:
                    task.advance(topic, position)  # past transaction markers, so that tools see no lag
            if lag >= 0:
                self._metrics.lag.labels(self.stage.name, str(task.partition)).set(lag)
            if lag == 0 and not task.closed and not task.fold.paused:
                task.idle()
            if task.dirty_since is not None:
                self._committer.soon(task)

    def folded(self, task: Task) -> None:
        """The agent has folded a batch."""
        self._committer.soon(task)
        if task.fold.paused:
            self._pause(task)

    async def end_rebuild(self) -> None:
        """What was rebuilt is whole: let workers have it."""
        for task in self.tasks.values():
            task.end_rebuild()
        await self._committer.finish(self.tasks.values(), _STOP)
        if unfinished := [task.partition for task in self.tasks.values() if task.dirty_since is not None]:
            state = self.where.changelog(self.stage.name, "state")
            raise StateError("the last commit did not end: run it again", topic=state, partition=unfinished[0])

    def _pause(self, task: Task) -> None:
        """Too many dead letters in a row: read no further until a person has accepted them."""
        self._consumer.pause(*self._inputs(task.partition))
        self._metrics.paused.labels(str(task.partition)).set(1)
        where = {"partition": task.partition, "offsets": dict(task.position.offsets)}
        log.error("most records are refused: paused until `npsflow dlq accept`", extra=where)

    async def _resume_accepted(self) -> None:
        """`npsflow dlq accept` commits, in a group of its own, up to where dead letters are accepted."""
        paused = [task for task in self.tasks.values() if task.fold.paused and not task.closed]
        if not paused:
            return
        try:
            accepted = await self._admin.list_consumer_group_offsets(self.where.group("dlq-accept"))
        except KafkaError as error:
            log.info("cannot ask what is accepted, trying again: %r", error)
            return
        for task in paused:
            offsets = {tp: task.position.offsets[self._topics[tp.topic]] for tp in self._inputs(task.partition)}
            if not task.closed and all(tp in accepted and accepted[tp].offset >= o for tp, o in offsets.items()):
                task.accept()
                for tp, offset in offsets.items():
                    self._consumer.seek(tp, offset)
                self._consumer.resume(*offsets)
                self._metrics.paused.labels(str(task.partition)).set(0)
                log.info("dead letters accepted, going on", extra={"partition": task.partition})

    @Service.timer(_PURGE_EVERY)
    async def _purge(self) -> None:
        for task in list(self.tasks.values()):
            begin = task.changelog.released
            if task.changelog.log is not None and begin > task.changelog.purged and not task.closed:
                try:
                    await purge(self._admin, task.changelog.log, begin)
                    task.changelog.purged = begin
                except Exception as error:
                    log.warning("purge failed, trying again later: %r", error, extra={"partition": task.partition})

    # Losing and getting tasks.

    def _committed(self, task: Task, error: Exception | None) -> None:
        if error is None:
            self._failures = 0
        else:
            self.drop(task, error)

    def drop(self, task: Task, error: BaseException) -> None:
        """Something about this task is uncertain: forget it, restore it from the changelog, replay."""
        task.closed = True
        if self.tasks.get(task.partition) is not task:
            return
        offsets, place = dict(task.position.offsets), {"stage": self.stage.name, "partition": task.partition}
        log.warning("task dropped, restoring it", extra={**place, "offsets": offsets, "error": describe(error)})
        self._metrics.failures.labels(self.stage.name).inc()
        self._failures += 1
        del self.tasks[task.partition]
        self._consumer.pause(*self._inputs(task.partition))
        self.add_future(self._close(task))
        self._restore_soon()

    async def revoked(self) -> None:
        """Finish what is open, within a third of the session; keep clean tasks in case they come back."""
        await self._cancel_restore()
        self._assigned = None
        await self._committer.finish(self.tasks.values(), self.where.session_ms / 3000)
        for partition, task in self.tasks.items():
            if task.closed or task.dirty_since is not None or self._committer.committing(task):
                self.add_future(self._close(task))
            else:
                self._kept[partition] = task
            task.closed = True  # no fold until its ownership is renewed
        self.tasks.clear()

    async def assigned(self, partitions: set[int]) -> None:
        """Pause them all, and restore what is missing outside of this callback."""
        if paused := [tp for p in partitions for tp in self._inputs(p)]:
            self._consumer.pause(*paused)
        topic, count = next(iter(self._partitions.items()))
        if partitions and max(partitions) >= count:
            message = f"partitions were added to its {count}: that moves keys to other tasks; run `npsflow rebuild`"
            await self.crash(StateError(message, topic=topic, partition=max(partitions)))
            return
        self._assigned = partitions
        for partition in [p for p in self._kept if p not in partitions]:
            self.add_future(self._close(self._kept.pop(partition)))
        self._restore_soon()

    async def _close(self, task: Task) -> None:
        await self._committer.close(task)
        await task.transaction.stop()

    def _inputs(self, partition: int) -> list[TopicPartition]:
        mine = self._consumer.assignment()
        return [tp for name in self._topics if (tp := TopicPartition(name, partition)) in mine]

    def _restore_soon(self) -> None:
        if self._restoring is None or self._restoring.done():
            self._restoring = self.loop.create_task(self._restore_missing())
            self._restoring.add_done_callback(self._restore_done)

    def _restore_done(self, done: "asyncio.Task[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self.add_future(self.crash(error))

    async def _cancel_restore(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait([self._restoring])
            self._restoring = None

    async def _restore_missing(self) -> None:
        """One after the other, lowest first, until every assigned partition has its task."""
        while missing := sorted((self._assigned or set()) - self.tasks.keys()):
            if self._failures:
                await asyncio.sleep(min(_BACKOFF[1], _BACKOFF[0] * 2 ** min(self._failures - 1, 10)))
            try:
                await self._restore(missing[0])
            except StateError:
                raise
            except Exception as error:
                self._failures += 1
                where = {"stage": self.stage.name, "partition": missing[0]}
                log.warning("restore failed, trying again: %r", error, extra=where)

    async def _restore(self, partition: int) -> None:
        with self._metrics.restore_time.labels(self.stage.name).time():
            task = await self._restorer.restore(partition, self._kept.pop(partition, None))
        inputs = self._inputs(partition)
        for tp in inputs:
            self._consumer.seek(tp, task.position.offsets[self._topics[tp.topic]])
        self.tasks[partition] = task
        if task.fold.paused:
            self._pause(task)
        else:
            self._consumer.resume(*inputs)
        offsets = dict(task.position.offsets)
        log.info("task ready", extra={"stage": self.stage.name, "partition": partition, "offsets": offsets})


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: Source) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._source.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._source.assigned({tp.partition for tp in assigned})
