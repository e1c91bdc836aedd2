"""Which tasks this worker has: taken, restored, kept over a rebalance, given back, and dropped when in doubt.

Rebalance callbacks only pause, mark and finish what is open: aiokafka's rebalance time-out is its session time-out, so
a restore inside a callback would get its worker evicted. Restoring happens outside, with the partition paused.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from npsflow.schemas.errors import StateError
from npsflow.streams.engine.committer import CommitRateLimit, Committer
from npsflow.streams.engine.logs import describe
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.restorer import Restorer
from npsflow.streams.engine.task import Task

log = logging.getLogger(__name__)

_BACKOFF = (0.2, 5.0)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """The tasks of one stage on this worker; the stage's consumer tells it of every rebalance."""

    def __init__(
        self,
        stage: str,
        topics: list[str],
        session: float,
        metrics: Metrics,
        commit_rate: CommitRateLimit,
        ready: Callable[[Task], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        crash: Callable[[BaseException], Coroutine[Any, Any, None]],
    ) -> None:
        """`topics`: the inputs, with prefix. `session` in seconds. `ready` lets a task be read, `spawn` runs something
        beside, `crash` ends the worker with an error that only a person can mend."""
        self.tasks: dict[int, Task] = {}
        self.committer = Committer(stage, metrics, commit_rate, self._committed)
        self._stage, self._topics, self._session, self._metrics = stage, topics, session, metrics
        self._ready, self._spawn, self._crash = ready, spawn, crash
        self._assigned: set[int] | None = None
        self._kept: dict[int, Task] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._failures: Counter[int] = Counter()  # of each partition, since its last commit

    def start(self, consumer: AIOKafkaConsumer, restorer: Restorer, partitions: int) -> None:
        """Take part in the group; every input has so many `partitions`."""
        self._consumer, self._restorer, self._partitions = consumer, restorer, partitions
        consumer.subscribe(self._topics, listener=self)

    @property
    def complete(self) -> bool:
        """Whether every assigned partition has its task."""
        return self._assigned is not None and self._assigned == {p for p, t in self.tasks.items() if not t.closed}

    def inputs(self, partition: int) -> list[TopicPartition]:
        """What a task reads, as far as it is assigned."""
        mine = self._consumer.assignment()
        return [tp for name in self._topics if (tp := TopicPartition(name, partition)) in mine]

    # Rebalances.

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish what is open, within a third of the session; keep clean tasks in case they come back."""
        self._assigned = None  # first: a commit that fails from here on is no reason to restore
        await self._cancel_restore()
        await self.committer.finish(self.tasks.values(), self._session / 3)
        for partition, task in self.tasks.items():
            if task.closed or task.dirty_since is not None or self.committer.committing(task):
                self._spawn(self._close(task))
            else:
                self._kept[partition] = task
            task.closed = True  # no fold until its ownership is renewed
        self.tasks.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Pause them all, and restore what is missing outside of this callback."""
        partitions = {tp.partition for tp in assigned}
        if paused := [tp for p in partitions for tp in self.inputs(p)]:
            self._consumer.pause(*paused)
        if partitions and max(partitions) >= self._partitions:
            message = f"partitions were added to its {self._partitions}: that moves keys to other tasks; "
            error = StateError(message + "run `npsflow rebuild`", topic=self._topics[0], partition=max(partitions))
            await self._crash(error)
            return
        self._assigned = partitions
        for partition in [p for p in self._kept if p not in partitions]:
            self._spawn(self._close(self._kept.pop(partition)))
        self._restore_soon()

    # Single tasks.

    def _committed(self, task: Task, error: Exception | None) -> None:
        """A commit has ended, with this error if any."""
        if error is None:
            del self._failures[task.partition]
        else:
            self.drop(task, error)

    def drop(self, task: Task, error: BaseException) -> None:
        """Something about this task is uncertain: forget it, restore it from the changelog, replay."""
        task.closed = True
        if self.tasks.get(task.partition) is not task:
            return
        offsets, place = dict(task.position.offsets), {"stage": self._stage, "partition": task.partition}
        log.warning("task dropped, restoring it", extra={**place, "offsets": offsets, "error": describe(error)})
        self._metrics.failures.labels(self._stage).inc()
        self._failures[task.partition] += 1
        del self.tasks[task.partition]
        self._consumer.pause(*self.inputs(task.partition))
        self._spawn(self._close(task))
        self._restore_soon()

    async def close(self, seconds: float) -> None:
        """Commit what can be committed within so many seconds, and let go of everything."""
        self._assigned = None
        await self._cancel_restore()
        await self.committer.finish(self.tasks.values(), seconds)
        for task in [*self.tasks.values(), *self._kept.values()]:
            await self._close(task)

    async def _close(self, task: Task) -> None:
        await self.committer.close(task)
        await task.transaction.stop()
        if task.partition not in (self._assigned or ()):
            self._metrics.forget(self._stage, task.partition)

    # Restoring.

    def _restore_soon(self) -> None:
        if self._restoring is None or self._restoring.done():
            self._restoring = asyncio.get_running_loop().create_task(self._restore_missing())
            self._restoring.add_done_callback(self._restore_done)

    def _restore_done(self, done: "asyncio.Task[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._spawn(self._crash(error))

    async def _cancel_restore(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait([self._restoring])
            self._restoring = None

    async def _restore_missing(self) -> None:
        """One after the other, those that failed last, until every assigned partition has its task."""
        failures = self._failures
        while missing := (self._assigned or set()) - self.tasks.keys():
            partition = min(missing, key=lambda p: (failures[p], p))
            if failed := failures[partition]:
                await asyncio.sleep(min(_BACKOFF[1], _BACKOFF[0] * 2 ** min(failed - 1, 10)))
            try:
                await self._restore(partition)
            except StateError:
                raise
            except Exception as error:
                failures[partition] += 1
                extra = {"stage": self._stage, "partition": partition}
                log.warning("restore failed, trying again: %s", error, extra=extra)

    async def _restore(self, partition: int) -> None:
        with self._metrics.restore_time.labels(self._stage).time():
            task = await self._restorer.restore(partition, self._kept.pop(partition, None))
        self.tasks[partition] = task
        self._ready(task)
        offsets = dict(task.position.offsets)
        log.info("task ready", extra={"stage": self._stage, "partition": partition, "offsets": offsets})
