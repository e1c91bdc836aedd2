"""Lets tasks commit when it is time, while folding goes on: see pace.py and `Task.wait`."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf

from npsflow.streams.engine.pace import Pace
from npsflow.streams.engine.task import Task


class Committer:
    """Commits the tasks of one stage while folding goes on."""

    def __init__(self, pace: Pace, on_end: Callable[[Task, Exception | None], None]) -> None:
        """`on_end` is called after each commit, with its error if it has one."""
        self._pace, self._on_end = pace, on_end
        self._timers: dict[Task, tuple[float, asyncio.Handle]] = {}
        self._commits: dict[Task, asyncio.Task[None]] = {}

    def folded(self, task: Task, seconds: float) -> None:
        """Take note of a batch that took so long to fold, and see to what the task has to commit now."""
        self._pace.folded(asyncio.get_running_loop().time(), seconds)
        self.schedule(task)

    def schedule(self, task: Task) -> None:
        """See to it that what the task has to commit is committed in time."""
        if not task.active or task in self._commits:
            return
        loop = asyncio.get_running_loop()
        timer, now = self._timers.get(task), loop.time()
        wait = task.wait(self._pace.spacing(now))
        if timer is not None:
            if timer[0] <= now + wait + 0.001:
                return
            timer[1].cancel()
        self._timers[task] = now + wait, loop.call_later(wait, self._claim_slot, task)

    def _claim_slot(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        delay = self._pace.claim(loop.time())
        self._timers[task] = -inf, loop.call_later(delay, self._start, task)  # nothing is sooner: it keeps its slot

    def _start(self, task: Task) -> None:
        self._timers.pop(task, None)
        if task.active and task not in self._commits:
            self._commits[task] = asyncio.get_running_loop().create_task(self._commit(task))

    async def _commit(self, task: Task) -> None:
        try:
            await task.commit()
            self._on_end(task, None)
        except Exception as error:  # also one after the transaction: what the task believes is uncertain then
            self._on_end(task, error)
        finally:
            del self._commits[task]
        if task.dirty:
            self.schedule(task)

    async def wait(self, task: Task) -> None:
        """Return when the commit under way has ended, if there is one."""
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
        await self.wait(task)
        while task.dirty and task.active:
            self._cancel_timer(task)
            self._start(task)
            await self.wait(task)

    async def close(self, task: Task) -> None:
        """Close the task and break off its commit; one that was under way may have happened or not."""
        task.close()
        self._cancel_timer(task)
        if (commit := self._commits.get(task)) is not None:
            commit.cancel()
            await asyncio.wait([commit])

    def _cancel_timer(self, task: Task) -> None:
        if (timer := self._timers.pop(task, None)) is not None:
            timer[1].cancel()
