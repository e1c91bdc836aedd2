"""The consumer of one stage: reads the input of its tasks, hands their batches to the agent, and sees to commits."""

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from mode import Service

from npsflow.schemas.errors import StateError
from npsflow.streams.engine import admin
from npsflow.streams.engine.assignment import Assignment
from npsflow.streams.engine.changelog import purge
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.committer import CommitRateLimit
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.metadata_backoff import back_off_metadata
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.restorer import Restorer
from npsflow.streams.engine.task import Task
from npsflow.streams.stage import Record, Stage

log = logging.getLogger(__name__)

_MOST_RECORDS = 250  # in one fold: it holds up commits, and each needs some thirty turns of the event loop
_POLL = 0.1
_FETCH_WAIT = 100  # ms; a broker answers one request of a connection at a time, all others wait behind a fetch
_IDLE_EVERY = 1.0
_PURGE_EVERY = 15.0
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
        return not self.task.closed and self.task.epoch == self._epoch

    def fold(self) -> None:
        """Fold the records into the task's state, unless the task has been lost meanwhile. Raises StateError."""
        task = self.task
        if not self.current or task.paused:
            return
        if (position := task.position.offsets.get(self.topic, 0)) != self.begin:
            first = self.records[0]
            message = f"a batch that begins at {self.begin} came where {position} is next: one was lost on the way"
            raise StateError(message, topic=first.topic, partition=first.partition, offset=first.offset)
        task.process(self.topic, self.records, self.position)
        self._source.folded(task)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if error is not None:
            self._source.drop(self.task, error)
        return isinstance(error, Exception)


class Source(Service):
    """One stage on this worker. `send` puts a batch into the agent's channel; `client` configures Kafka clients."""

    def __init__(
        self,
        stage: Stage,
        installation: Installation,
        client: dict[str, Any],
        send: Callable[[Batch], Any],
        metrics: Metrics,
        commit_rate: CommitRateLimit,
        name: str | None = None,
        rebuilding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._instance = None if name is None else f"{installation.group(stage.name)}-{name}"
        self._rebuilding = rebuilding
        self.stage, self.installation = stage, installation
        self._client, self._send, self._metrics = client, send, metrics
        self._topics = {installation.topic(name): name for name in stage.inputs}
        self._assignment = Assignment(
            stage.name, list(self._topics), installation.session_ms / 1000, metrics, commit_rate, self._go_on,
            self.add_future, self.crash,
        )  # fmt: skip

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored and being read."""
        return self._assignment.complete

    @property
    def tasks(self) -> dict[int, Task]:
        """By partition, those that are restored."""
        return self._assignment.tasks

    # Life of the service.

    async def on_start(self) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._client,
            group_id=self.installation.group(self.stage.name),
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self.installation.session_ms,
            heartbeat_interval_ms=max(100, self.installation.session_ms // 4),
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=_FETCH_WAIT,
        )
        self._reader = AIOKafkaConsumer(
            **self._client, group_id=None, isolation_level="read_committed", auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=_FETCH_WAIT,
        )  # fmt: skip
        for consumer in (self._consumer, self._reader):
            back_off_metadata(consumer._client)
        # Else it gives up on offsets just before its client gives up on the request, and never renews the connection.
        self._reader._request_timeout_ms *= 2
        self._admin = AIOKafkaAdminClient(**self._client)
        await self._reader.start()
        await self._admin.start()
        await self._consumer.start()
        partitions = await admin.input_counts(self._admin, self.stage, self.installation)
        restorer = Restorer(
            self.stage,
            self.installation,
            self._client,
            self._reader,
            self._consumer,
            partitions,
            self._metrics,
            BrokerClock(time.monotonic, time.time),
            self._rebuilding,
        )
        self._assignment.start(self._consumer, restorer, next(iter(partitions.values())))

    async def on_stop(self) -> None:
        await self._assignment.close(_STOP)
        await self._consumer.stop()
        await self._reader.stop()
        await self._admin.close()

    # Reading.

    @Service.task
    async def _poll(self) -> None:
        idle_at = 0.0
        while not self.should_stop:
            fetched = await self._consumer.getmany(timeout_ms=int(_POLL * 1000), max_records=_MOST_RECORDS)
            # Bind records to their tasks before anything is awaited: one restored or regained meanwhile reads again.
            batches = [
                (tp, Batch(self, task, self._topics[tp.topic], records))
                for tp, records in fetched.items()
                if (task := self.tasks.get(tp.partition)) is not None
            ]
            for tp, batch in batches:
                if batch.current:
                    await self._hand_over(tp, batch)
            if (now := self.loop.time()) >= idle_at:
                idle_at = now + _IDLE_EVERY
                await self._look_around()
                await self._resume_accepted()

    async def _hand_over(self, tp: TopicPartition, batch: Batch) -> None:
        task, topic, first = batch.task, batch.topic, batch.records[0].offset
        expected = max(task.position.offsets.get(topic, 0), task.handed.get(topic, 0))
        begin = expected
        if first > expected:
            try:
                begin = (await self._reader.beginning_offsets([tp]))[tp]
            except KafkaError as error:  # nobody knows what is between
                if batch.current:
                    self.drop(task, error)
                return
        if first < expected or begin > expected:
            if batch.current:
                message = "records were deleted before they were read, or the topic was made anew"
                self.drop(task, StateError(message, topic=tp.topic, partition=tp.partition, offset=expected))
            return
        while task.full and batch.current:
            await self._assignment.committer.ended(task)
        if batch.current:
            batch.begin, task.handed[topic] = expected, batch.position
            await self._send(batch)

    async def _look_around(self) -> None:
        """Once a second: lag, and what tasks at the end of their input have to say."""
        for task in list(self.tasks.values()):
            if task.closed:
                continue
            lag, epoch = 0, task.epoch
            for prefixed, topic in self._topics.items():
                tp = TopicPartition(prefixed, task.partition)
                if tp not in self._consumer.assignment() or (end := self._consumer.highwater(tp)) is None:
                    lag = -1
                    break
                position = folded = task.position.offsets.get(topic, 0)
                if task.handed.get(topic, 0) <= folded:  # else a batch is still on its way through the agent
                    try:
                        position = await self._consumer.position(tp)
                    except IllegalStateError:
                        position = -1
                    if position < 0 or task.closed or task.epoch != epoch:  # lost while asking
                        lag = -1
                        break
                lag += max(0, end - position)
                if lag == 0 and not task.paused and position > folded:
                    task.advance(topic, position)  # past transaction markers, so that tools see no lag
            if lag >= 0:
                self._metrics.lag.labels(self.stage.name, str(task.partition)).set(lag)
            if lag == 0 and not task.closed and not task.paused:
                task.idle()
            if task.dirty_since is not None:
                self._assignment.committer.soon(task)

    def _go_on(self, task: Task) -> None:
        """Read on where a restored task stands, unless it is paused."""
        inputs = self._assignment.inputs(task.partition)
        for tp in inputs:
            self._consumer.seek(tp, task.position.offsets[self._topics[tp.topic]])
        if task.paused:
            self._pause(task)
        else:
            self._consumer.resume(*inputs)

    def drop(self, task: Task, error: BaseException) -> None:
        """The agent has failed in the middle of a batch."""
        self._assignment.drop(task, error)

    def folded(self, task: Task) -> None:
        """The agent has folded a batch."""
        self._assignment.committer.soon(task)
        if task.paused:
            self._pause(task)

    async def end_rebuild(self) -> None:
        """What was rebuilt is whole: read no further, and let workers have it."""
        tasks = list(self.tasks.values())
        self._consumer.pause(*(tp for task in tasks for tp in self._assignment.inputs(task.partition)))
        for task in tasks:
            task.end_rebuild()
        in_time = await self._assignment.committer.finish(tasks, _REBUILD)
        if unfinished := [task.partition for task in tasks if task.closed or not in_time]:
            state = self.installation.changelog(self.stage.name, "state")
            raise StateError("the last commit did not end: run it again", topic=state, partition=unfinished[0])

    def _pause(self, task: Task) -> None:
        """Too many dead letters in a row: read no further until a person has accepted them."""
        self._consumer.pause(*self._assignment.inputs(task.partition))
        self._metrics.pause(self.stage.name, task.partition, True)
        extra = {"partition": task.partition, "offsets": dict(task.position.offsets)}
        log.error("most records are refused: paused until `npsflow dlq accept`", extra=extra)

    async def _resume_accepted(self) -> None:
        """`npsflow dlq accept` commits, in a group of its own, up to where dead letters are accepted."""
        paused = [task for task in self.tasks.values() if task.paused and not task.closed]
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
            if not task.closed and all(tp in accepted and accepted[tp].offset >= o for tp, o in offsets.items()):
                task.accept()
                for tp, offset in offsets.items():
                    self._consumer.seek(tp, offset)
                self._consumer.resume(*offsets)
                self._metrics.pause(self.stage.name, task.partition, False)
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
                    log.warning("purge failed, trying again later: %s", error, extra={"partition": task.partition})
