"""When tasks commit: soon where an alert waits, otherwise calmly, and never more often than a worker can afford."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf

from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.task import Task


class CommitRateLimit:
    """At most so many commits a second, whichever task of the worker asks."""

    def __init__(self, per_second: float) -> None:
        self._gap, self._next = 1 / per_second, 0.0

    def claim(self, now: float) -> float:
        """Take the next free slot; seconds until it begins."""
        start = max(now, self._next)
        self._next = start + self._gap
        return start - now


class Committer:
    """Commits the tasks of one stage while folding goes on. `ended` hears of each commit, and of the error if any."""

    def __init__(
        self,
        stage: str,
        metrics: Metrics,
        commit_rate: CommitRateLimit,
        ended: Callable[[Task, Exception | None], None],
    ) -> None:
        self._stage, self._metrics, self._commit_rate, self._ended = stage, metrics, commit_rate, ended
        self._timers: dict[Task, tuple[float, asyncio.Handle]] = {}
        self._commits: dict[Task, asyncio.Task[None]] = {}

    def soon(self, task: Task) -> None:
        """The task has something to commit: see to it that it happens in time."""
        if task.closed or task in self._commits:
            return
        loop = asyncio.get_running_loop()
        timer, now, wait = self._timers.get(task), loop.time(), task.wait()
        if timer is not None:
            if timer[0] <= now + wait + 0.001:
                return
            timer[1].cancel()
        self._timers[task] = now + wait, loop.call_later(wait, self._due, task)

    def _due(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        delay = self._commit_rate.claim(loop.time())
        self._timers[task] = -inf, loop.call_later(delay, self._start, task)  # nothing is sooner: it keeps its slot

    def _start(self, task: Task) -> None:
        self._timers.pop(task, None)
        if not task.closed and task not in self._commits:
            self._commits[task] = asyncio.get_running_loop().create_task(self._commit(task))

    async def _commit(self, task: Task) -> None:
        try:
            with self._metrics.commit_time.labels(self._stage).time():
                await task.commit()
            self._ended(task, None)
        except Exception as error:  # also one after the transaction: what the task believes is uncertain then
            self._ended(task, error)
        finally:
            del self._commits[task]
        if task.dirty_since is not None:
            self.soon(task)

    async def ended(self, task: Task) -> None:
        """Wait for the commit under way, if there is one."""
        if (commit := self._commits.get(task)) is not None:
            await asyncio.wait([commit])

    async def finish(self, tasks: Iterable[Task], timeout: float) -> bool:
        """Commit everything folded so far; False where that takes more than `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(self._finish(task) for task in tasks))
                return True
        return False

    async def _finish(self, task: Task) -> None:
        await self.ended(task)
        while task.dirty_since is not None and not task.closed:
            self._cancel_timer(task)
            self._start(task)
            await self.ended(task)

    async def close(self, task: Task) -> None:
        """No commit of this task is under way any more; one that was may have happened or not."""
        task.closed = True
        self._cancel_timer(task)
        if (commit := self._commits.get(task)) is not None:
            commit.cancel()
            await asyncio.wait([commit])

    def committing(self, task: Task) -> bool:
        return task in self._commits

    def _cancel_timer(self, task: Task) -> None:
        if (timer := self._timers.pop(task, None)) is not None:
            timer[1].cancel()
