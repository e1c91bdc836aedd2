"""Workers come and go under load without a crash: their partitions move, and nothing else is to be seen of it."""

import signal
from collections import defaultdict
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker
from npsflow.streams.topology import STAGES
from tests.broker.harness import Harness, Process, response_line
from tests.support.waiting import eventually

from .faulty import BROKEN_OFF, RESTORING
from .scenario import PATIENCE, Load, Scenario
from .watching import has_logged, has_members, has_tasks, members, tasks

STATIC = 30_000
"""A session that outlasts the restart of a worker."""


async def leave(*workers: Process) -> None:
    """All at once, as an operator stops them."""
    for worker in workers:
        worker.send(signal.SIGTERM)
    for worker in workers:
        assert await worker.exit_status() == 0


async def kill(worker: Process) -> None:
    worker.kill()


@pytest.mark.quick
async def test_one_three_one(broker: Broker, tmp_path: Path) -> None:
    async with Scenario(broker, "scaled.", tmp_path, "workers 1, 3, 1") as scenario:
        scenario.worker()
        await scenario.committed(100)
        added = [scenario.worker() for _ in range(2)]
        for worker in added:
            await eventually(has_tasks(worker, 1), PATIENCE)
        scenario.injected()
        await scenario.committed(300)
        await leave(*added)
        scenario.injected()
        await scenario.committed(300)


async def test_twenty_rebalances(broker: Broker, tmp_path: Path) -> None:
    """Another worker comes and goes ten times; half of the time it leaves before it has restored anything."""
    async with Scenario(broker, "storm.", tmp_path, "rebalances without a crash") as scenario:
        scenario.worker()
        await scenario.committed()
        for number in range(10):
            passing = scenario.worker()
            joined = has_members(scenario.harness, 2)  # what it then has it has yet to restore
            await eventually(has_tasks(passing, 3) if number % 2 else joined, PATIENCE)
            scenario.injected()
            await leave(passing)
            scenario.injected()
            await eventually(has_members(scenario.harness, 1), PATIENCE)


async def test_rebalances_during_a_restore(broker: Broker, tmp_path: Path) -> None:
    """A restore that takes long is broken off when others come, and the next one when they go; at last one ends."""
    async with Scenario(
        broker, "interrupted.", tmp_path, "rebalances while restoring", load=Load(rate=200)
    ) as scenario:
        await scenario.offer(response_line(number, metric="enps") for number in range(10_000))
        scenario.worker()
        await scenario.committed(10_000)
        for leaving in (leave, kill, leave, kill):
            restoring = scenario.worker(fault="slow-restore 0.1")
            await eventually(has_logged(restoring, RESTORING), PATIENCE)
            await eventually(has_members(scenario.harness, 2), PATIENCE)
            passing = scenario.worker()
            await eventually(has_logged(restoring, BROKEN_OFF), PATIENCE)
            scenario.injected()
            await leaving(passing)
            await eventually(has_members(scenario.harness, 2), PATIENCE)
            scenario.injected()
            await leaving(restoring)
            await eventually(has_members(scenario.harness, 1), PATIENCE)
        await eventually(has_tasks(scenario.worker(fault="slow-restore 0.02"), 2 + 1), PATIENCE)


async def test_rolling_restart(broker: Broker, tmp_path: Path) -> None:
    """Three workers, one after the other, as a deployment does."""
    async with Scenario(broker, "rolling.", tmp_path, "rolling restart of three workers") as scenario:
        workers = [scenario.worker() for _ in range(3)]
        for worker in workers:
            await eventually(has_tasks(worker, 1), PATIENCE)
        for worker in workers:
            await leave(worker)
            scenario.injected()
            await eventually(has_tasks(scenario.worker(), 1), PATIENCE)
            await scenario.committed(200)


async def test_static_members_do_not_disturb_each_other(broker: Broker, tmp_path: Path) -> None:
    """Each of three is restarted within its session, stopped or killed: the others do not hear of it."""
    fault = "static members restarted"
    async with Scenario(broker, "static.", tmp_path, fault, session_ms=STATIC) as scenario:
        workers = {name: scenario.worker(f"--name={name}") for name in ("one", "two", "three")}
        await eventually(has_members(scenario.harness, 3), PATIENCE)
        held = await assignment(scenario.harness)
        for name, worker in workers.items():
            await eventually(has_tasks(worker, len(held[name])), PATIENCE)
        await scenario.committed(200)
        for how in (signal.SIGTERM, signal.SIGKILL):
            for name in workers:
                before = {other: tasks(worker) for other, worker in workers.items() if other != name}
                assert sum(before.values())
                workers[name].send(how)
                await workers[name].exit_status()
                scenario.injected()
                workers[name] = scenario.worker(f"--name={name}")
                await eventually(has_tasks(workers[name], len(held[name])), PATIENCE)
                await scenario.committed(200)
                assert {other: tasks(workers[other]) for other in before} == before
        assert await assignment(scenario.harness) == held


async def assignment(harness: Harness) -> dict[str, set[tuple[str, int]]]:
    """Stages and partitions of each worker, by its name."""
    held: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for stage in STAGES:
        for member, partitions in await members(harness, stage):
            assert member is not None
            held[member.rpartition("-")[2]] |= {(stage, partition) for partition in partitions}
    return dict(held)
