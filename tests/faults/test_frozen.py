"""Workers that stand still (SIGSTOP) in the middle of a commit and go on when it is too late for that."""

import signal
from functools import partial
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients, reading
from npsflow.streams.engine.installation import Installation
from tests.broker.harness import Harness
from tests.support.waiting import eventually

from .scenario import PATIENCE, Scenario
from .steps import STEPS, STRUCK
from .watching import DROPPED, has_logged, has_members, has_tasks, tasks

SHORT = 6_000
"""A session that every freeze here outlasts, and that a worker keeps where others take the processor for seconds: each
session that is lost while workers start has all of them restore anew."""

LONG = 60_000
"""A session that outlasts every freeze here: nobody takes over."""


@pytest.mark.parametrize(
    ("step", "stages"),
    [
        pytest.param("commit", ("classify",), id="quick", marks=pytest.mark.quick),
        *(pytest.param(s, ("classify", "rollup"), id=s) for s in ("fold", "sending", "outputs", "commit", "committed")),
    ],
)
async def test_zombie(broker: Broker, tmp_path: Path, step: str, stages: tuple[str, ...]) -> None:
    """Another has its partitions and goes on with them; what the frozen one then still writes never becomes visible."""
    fault = f"zombie, frozen {STEPS[step]}"
    async with Scenario(broker, f"zombie-{step}-{len(stages)}.", tmp_path, fault, session_ms=SHORT) as scenario:
        scenario.worker()
        for stage in stages:
            frozen = scenario.worker(fault=f"stop {step} {stage} 3")
            await eventually(has_logged(frozen, STRUCK), PATIENCE)
            scenario.injected()
            await eventually(has_members(scenario.harness, 1), PATIENCE)  # it is out, the other has everything
            await scenario.committed(200)
            before = tasks(frozen)
            frozen.send(signal.SIGCONT)
            scenario.injected()
            await eventually(has_tasks(frozen, before + 1), PATIENCE)  # it has come to its senses
            await scenario.committed(200)
            frozen.send(signal.SIGTERM)
            assert await frozen.exit_status() == 0


@pytest.mark.parametrize("stage", ["classify", "rollup"])
async def test_longer_than_a_transaction_may_last(broker: Broker, tmp_path: Path, stage: str) -> None:
    """The broker has aborted it meanwhile and nobody has taken over: its task is dropped and restored."""
    fault = f"{stage} frozen in a transaction, past its time-out"
    async with Scenario(broker, f"stalled-{stage}.", tmp_path, fault, session_ms=LONG) as scenario:
        worker = scenario.worker(fault=f"stop commit {stage} 5")
        await eventually(has_logged(worker, STRUCK), PATIENCE)
        assert await transaction_open(scenario.harness, stage)
        scenario.injected()
        await eventually(partial(transaction_aborted, scenario.harness, stage))
        worker.send(signal.SIGCONT)
        await eventually(has_logged(worker, DROPPED))
        await scenario.committed(200)


async def transaction_open(harness: Harness, stage: str) -> bool:
    """Whether the changelog of a stage holds records that are neither committed nor aborted."""
    topic = f"npsflow-{stage}-state"
    return await committed_ends(harness.installation, topic) != await harness.ends(topic)


async def transaction_aborted(harness: Harness, stage: str) -> bool:
    return not await transaction_open(harness, stage)


async def committed_ends(installation: Installation, topic: str) -> dict[int, int]:
    async with clients.reader(installation) as reader:
        ends = await reader.end_offsets(await reading.partitions(installation, topic))
    return {tp.partition: end for tp, end in ends.items()}
