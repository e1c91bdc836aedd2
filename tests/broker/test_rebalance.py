"""Partitions move between workers: nothing is lost or written twice, and the group comes to rest."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas.topics import PANES
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.kafka.clients import client_options
from npsflow.streams.engine.observer import Assigned, Event, Fetched, Observer, Restoring, Step, TaskId
from npsflow.streams.engine.source import Batch
from npsflow.streams.topology import STAGES, StageEntry
from tests.support.waiting import eventually

from .harness import FIXED, SECONDS, Harness, Process, lines, response_line

RESTORED = "task ready"


class Moves(Observer):
    """Whose changelog a worker has read, and how often it was assigned partitions, by stage."""

    def __init__(self) -> None:
        self.restored, self.rebalances = set[TaskId](), Counter[str]()

    def observe(self, event: Event) -> None:
        if isinstance(event, Assigned):
            self.rebalances[event.stage] += 1

    async def hold(self, step: Step) -> None:
        if isinstance(step, Restoring):
            self.restored.add(step.task)

    async def all_assigned(self) -> bool:
        return self.rebalances.keys() == STAGES.keys()


async def test_worker_comes_and_goes(broker: Broker) -> None:
    """What a worker keeps it does not restore again; and a large state to restore does not throw the group about."""
    moves, to_others = Moves(), [Moves(), Moves()]
    async with Harness(broker, "moving.", session_ms=6000) as harness, harness.worker(observers=[moves]) as first:
        harness.produce(response_line(number, metric="enps") for number in range(20_000))
        await eventually(harness.finished)
        moves.restored.clear()
        async with harness.worker(observers=to_others[:1]) as second:
            await eventually(holding(2, first, second))
        await eventually(holding(4, first))
        # Those that moved, and back; one that a rebalance breaks off may begin again.
        assert Counter(task.stage for task in moves.restored | to_others[0].restored) == {
            "classify": 2, "rollup": 1, "recover": 2,
        }  # fmt: skip

        async with harness.producing(lines(3_000), 1_000):
            async with harness.worker(observers=to_others[1:]):
                await eventually(to_others[1].all_assigned)  # and gone again before it has restored anything
            async with harness.worker() as second:
                await eventually(holding(2, first, second))
        await eventually(harness.finished)
        assert max(moves.rebalances.values()) <= 1 + 3 * 2
        assert await harness.differences() == []


def holding(tasks: int, *workers: Host) -> Callable[[], Awaitable[bool]]:
    """Whether each of these workers is ready and has so many tasks of classify."""

    async def holds() -> bool:
        return all(worker.ready and len(worker.sources[0].tasks) == tasks for worker in workers)

    return holds


class HeldBack(Observer):
    """Lets nothing be given to the agent from when it folds until `go`."""

    def __init__(self, folding: asyncio.Event, go: asyncio.Event) -> None:
        self.holding, self._folding, self._go = asyncio.Event(), folding, go

    async def hold(self, step: Step) -> None:
        if isinstance(step, Fetched) and self._folding.is_set() and not self._go.is_set():
            self.holding.set()
            await self._go.wait()


async def test_records_fetched_before_a_rebalance(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker keeps its tasks; it reads again what it had not folded, and not only what it had not handed over."""
    folding, go = asyncio.Event(), asyncio.Event()
    held_back = HeldBack(folding, go)
    make, _ = STAGES["classify"]

    async def slow(batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            folding.set()
            await go.wait()
            with batch:
                batch.fold()

    monkeypatch.setitem(STAGES, "classify", StageEntry(make, slow))
    async with Harness(broker, "stale.", FIXED + "[topics]\npartitions = 1\n") as harness:
        group = harness.installation.group("classify")
        async with harness.worker("classify", observers=[held_back]) as worker:
            harness.produce(response_line(number) for number in range(10))
            await asyncio.wait_for(folding.wait(), SECONDS)
            harness.produce(response_line(number) for number in range(10, 20))
            await asyncio.wait_for(held_back.holding.wait(), SECONDS)

            task = worker.sources[0].tasks[0]
            epoch = task.epoch
            other = AIOKafkaConsumer(  # which wants nothing of this topic
                **client_options(harness.installation), group_id=group, session_timeout_ms=SECONDS * 1000,
                partition_assignment_strategy=(RangePartitionAssignor,),
            )  # fmt: skip
            other.subscribe([harness.installation.topic(PANES)])
            async with other:

                async def regained() -> bool:
                    return task.epoch > epoch and task.active and worker.ready

                await eventually(regained)
                go.set()
                await eventually(harness.caught_up)
        assert await harness.outcomes() == Counter(counted=20)
    assert "task dropped" not in caplog.text


async def test_worker_that_was_frozen(broker: Broker, tmp_path: Path) -> None:
    """While it does not move another takes its partitions over; what it still had in hand then has no effect."""
    async with Harness(broker, "frozen.") as harness:
        with harness.process(tmp_path) as frozen, harness.process(tmp_path) as other:
            async with harness.producing(lines(3_000), 600):
                await eventually(partial(restored, 2, frozen, other))
                frozen.send(signal.SIGSTOP)
            await eventually(harness.finished)
            before = len(frozen.logged(RESTORED))
            frozen.send(signal.SIGCONT)
            await eventually(partial(restored, before + 1, frozen))
            harness.produce(lines(500, seed=8))
            await eventually(harness.finished)
        assert await harness.differences() == []


async def restored(tasks: int, *workers: Process) -> bool:
    """Whether each of them has restored so many tasks since it started."""
    return all(len(worker.logged(RESTORED)) >= tasks for worker in workers)
