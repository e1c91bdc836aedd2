"""Which tasks this worker has: taken, restored, kept over a rebalance, given back, and dropped when in doubt.

Rebalance callbacks only pause, mark and finish what is open: aiokafka's rebalance time-out is its session time-out, so
a restore inside a callback would get its worker evicted. Restoring happens outside, with the partition paused.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from npsflow.schemas.errors import SettingsError, StateError
from npsflow.streams.engine.committer import Committer
from npsflow.streams.engine.context import Context
from npsflow.streams.engine.namesake import Namesake
from npsflow.streams.engine.observer import Assigned, Dropped, Released, Restored, RestoreFailed
from npsflow.streams.engine.pace import Pace
from npsflow.streams.engine.restorer import Restorer
from npsflow.streams.engine.task import Task

_BACKOFF = (0.2, 5.0)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """The tasks of one stage on this worker; the stage's consumer tells it of every rebalance."""

    def __init__(
        self,
        context: Context,
        pace: Pace,
        *,
        on_ready: Callable[[Task], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        crash: Callable[[BaseException], Coroutine[Any, Any, None]],
    ) -> None:
        """`on_ready` lets a task be read, `spawn` runs something beside, `crash` ends the worker with an error that
        only a person can mend."""
        self.tasks: dict[int, Task] = {}
        self.committer = Committer(pace, self._end_commit)
        self._context, self._observe = context, context.observer.observe
        self._topics = [context.installation.topic(name) for name in context.stage.inputs]
        self._finish_within = context.installation.session_ms / 1000 / 3
        self._on_ready, self._spawn, self._crash = on_ready, spawn, crash
        self._assigned: set[int] | None = None
        self._kept: dict[int, Task] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._failures: Counter[int] = Counter()  # of each partition, since its last commit

    def start(self, consumer: AIOKafkaConsumer, restorer: Restorer, partitions: int, namesake: Namesake) -> None:
        """Take part in the group; every input has so many `partitions`."""
        self._consumer, self._restorer, self._partitions = consumer, restorer, partitions
        self._namesake = namesake
        consumer.subscribe(self._topics, listener=self)

    @property
    def complete(self) -> bool:
        """Whether every assigned partition has its task."""
        return self._assigned is not None and self._assigned == {p for p, t in self.tasks.items() if t.active}

    def inputs(self, partition: int) -> list[TopicPartition]:
        """Give what a task reads, as far as it is assigned."""
        mine = self._consumer.assignment()
        return [tp for name in self._topics if (tp := TopicPartition(name, partition)) in mine]

    # Rebalances.

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish what is open, within a third of the session; keep clean tasks in case they come back."""
        self._assigned = None  # first: a commit that fails from here on is no reason to restore
        await self._leave_name()
        await self._cancel_restore()
        await self.committer.finish(self.tasks.values(), self._finish_within)
        for partition, task in self.tasks.items():
            if task.active and not task.dirty and not task.committing:
                task.keep()
                self._kept[partition] = task
            else:
                task.close()
                self._spawn(self._close(task))
        self.tasks.clear()

    async def _leave_name(self) -> None:
        """End, where another worker has the name of this one and is to keep it."""
        try:
            await self._namesake.check()
        except SettingsError as error:
            await self._crash(error)
            raise asyncio.CancelledError from error  # ends aiokafka's task, which would take the name once more

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Pause them all, and restore what is missing outside of this callback."""
        self._namesake.joined()
        partitions = {tp.partition for tp in assigned}
        if paused := [tp for p in partitions for tp in self.inputs(p)]:
            self._consumer.pause(*paused)
        if partitions and max(partitions) >= self._partitions:
            message = f"partitions were added to its {self._partitions}: that moves keys to other tasks; "
            error = StateError(message + "run `npsflow rebuild`", topic=self._topics[0], partition=max(partitions))
            await self._crash(error)
            return
        self._assigned = partitions
        self._observe(Assigned(self._context.stage.name, frozenset(partitions)))
        for partition in [p for p in self._kept if p not in partitions]:
            self._spawn(self._close(self._kept.pop(partition)))
        self._start_restoring()

    # Single tasks.

    def _end_commit(self, task: Task, error: Exception | None) -> None:
        if error is None:
            del self._failures[task.partition]
        else:
            self.drop(task, error)

    def drop(self, task: Task, error: BaseException) -> None:
        """Forget a task of which something is uncertain; restore it from the changelog and replay."""
        task.close()
        if self.tasks.get(task.partition) is not task:
            return
        self._observe(Dropped(self._context.task(task.partition), dict(task.position.offsets), error))
        self._failures[task.partition] += 1
        del self.tasks[task.partition]
        self._consumer.pause(*self.inputs(task.partition))
        self._spawn(self._close(task))
        self._start_restoring()

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
            self._observe(Released(self._context.task(task.partition)))

    # Restoring.

    def _start_restoring(self) -> None:
        if self._restoring is None or self._restoring.done():
            self._restoring = asyncio.get_running_loop().create_task(self._restore_missing())
            self._restoring.add_done_callback(self._end_restoring)

    def _end_restoring(self, done: "asyncio.Task[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._spawn(self._crash(error))

    async def _cancel_restore(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait([self._restoring])
            self._restoring = None

    async def _restore_missing(self) -> None:
        """Restore one after the other, those that failed last, until every assigned partition has its task."""
        failures = self._failures
        while missing := (self._assigned or set()) - self.tasks.keys():
            partition = min(missing, key=lambda p: (failures[p], p))
            if failed := failures[partition]:
                await asyncio.sleep(min(_BACKOFF[1], _BACKOFF[0] * 2 ** min(failed - 1, 10)))
            began = monotonic()
            try:
                await self._restore(partition, began)
            except StateError:
                raise
            except Exception as error:
                failures[partition] += 1
                self._observe(RestoreFailed(self._context.task(partition), monotonic() - began, error))

    async def _restore(self, partition: int, began: float) -> None:
        kept = self._kept.pop(partition, None)
        task = await self._restorer.restore(partition, kept)
        self.tasks[partition] = task
        self._on_ready(task)
        offsets, seconds = dict(task.position.offsets), monotonic() - began
        self._observe(Restored(self._context.task(partition), seconds, offsets, task is kept))
