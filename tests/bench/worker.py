"""A worker in a process of its own, measured from within: `worker drain|serve STAGES [--one-core]`.

`drain` tells how long everything that waited took, from the first batch to the last commit. `serve` says when it is
ready, answers each line of input with what it has used up to then, and stops at the end of input.
"""

import asyncio
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from npsflow.agents.runtime.process import prepare
from npsflow.agents.worker import host
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.installation import read_installation
from npsflow.streams.engine.observer import CommitFailed, Committed, Event, Observer
from npsflow.streams.engine.task import Task
from tests.bench.common import cpu_seconds, one_core, peak_mb, starved_seconds, tell

_LOOK = 0.01
_QUIET = 3.0  # seconds without anything new: longer than any commit or tick waits


@dataclass(frozen=True, slots=True)
class Moment:
    time: float
    cpu: float
    starved: float


def now() -> Moment:
    return Moment(monotonic(), cpu_seconds(), starved_seconds())


class Commits(Observer):
    """Counts those of all stages."""

    def __init__(self) -> None:
        self._count, self._seconds = 0, 0.0

    def observe(self, event: Event) -> None:
        if isinstance(event, Committed | CommitFailed):
            self._count += 1
            self._seconds += event.seconds

    def figures(self) -> dict[str, float]:
        """How many there were, and what one took on average."""
        return {"commits": self._count, "commit_ms": 1000 * self._seconds / max(1, self._count)}


async def drain(worker: Host, commits: Commits) -> dict[str, Any]:
    """Wait until nothing has been folded for a while and all is committed; times are those of what was folded."""
    seen: dict[Task, int] = {}
    committed: dict[Task, Moment] = {}
    dropped, first = 0, now()
    last = first
    while not seen or not worker.ready or monotonic() - last.time < _QUIET or seen.keys() - committed.keys():
        if not seen and not dropped:
            first = now()
        await asyncio.sleep(_LOOK)
        tasks = [task for source in worker.sources for task in source.tasks.values() if not task.closed]
        for task in seen.keys() - set(tasks):  # another one takes its place, with what it had committed
            dropped += 1
            del seen[task]
            committed.pop(task, None)
        for task in tasks:
            if (count := _folded(task)) != seen.get(task, 0):
                seen[task], last = count, now()
                committed.pop(task, None)
            elif task in seen and task not in committed and not task.dirty and not task.committing:
                committed[task] = now()
    end = max(committed.values(), key=lambda moment: moment.time)
    return {
        "seconds": end.time - first.time,
        "cpu_seconds": end.cpu - first.cpu,
        "starved_seconds": end.starved - first.starved,
        "waited_seconds": end.time - last.time,
        "records": sum(seen.values()),
        "counted": sum(task.fold.counters.get(("", "counted"), 0) for task in seen),
        "read": sum(task.position.offsets.get(RESPONSES, 0) for task in seen),
        "dropped": dropped,
        **commits.figures(),
        "peak_mb": peak_mb(),
    }


def _folded(task: Task) -> int:
    """Records folded, but for ticks: those come without anything being read."""
    return sum(task.fold.counters.get(key, 0) for key in (*(("", outcome) for outcome in OUTCOMES), ("deltas",)))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        tell_usage()


def tell_usage() -> None:
    tell(time=monotonic(), cpu_seconds=cpu_seconds(), starved_seconds=starved_seconds(), peak_mb=peak_mb())


async def main(what: str, stages: list[str]) -> None:
    commits = Commits()
    worker = host(load(), read_installation(), stages, observers=[commits])
    async with worker.app:
        if what == "drain":
            tell(**await drain(worker, commits))
        else:
            while not worker.ready:
                await asyncio.sleep(_LOOK)
            tell_usage()
            await serve()


if __name__ == "__main__":
    if "--one-core" in sys.argv:
        one_core()
    logs.set_up("WARNING")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    prepare()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2].split(",")))
