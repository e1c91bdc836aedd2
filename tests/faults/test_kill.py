"""`kill -9` of a worker, at every step of a commit and at any moment: the next one carries on."""

import asyncio
import signal
from pathlib import Path
from random import Random

import pytest

from npsflow.agents.broker.embedded import Broker

from .scenario import Scenario
from .steps import STEPS

STATIC = 10_000
"""A session so long that a worker with a name that is started again has its partitions at once."""


FIRST, LATER = ("classify 1", "rollup 2", "recover 2"), ("classify 12", "rollup 7", "recover 9")
"""Which commits of a worker: what differs between them is how far the task has come."""


@pytest.mark.parametrize(
    ("step", "commits"),
    [
        pytest.param("commit", ("classify 1", "rollup 7", "recover 9"), id="quick", marks=pytest.mark.quick),
        *(pytest.param(step, FIRST + LATER, id=step) for step in STEPS),
    ],
)
async def test_at_a_step_of_a_commit(broker: Broker, tmp_path: Path, step: str, commits: tuple[str, ...]) -> None:
    """In every stage, at one of the first commits and later ones; started again each time."""
    prefix, fault = f"at-{step}-{len(commits)}.", f"kill -9 {STEPS[step]}"
    async with Scenario(broker, prefix, tmp_path, fault, session_ms=STATIC) as scenario:
        for at in commits:
            worker = scenario.worker("--name=one", fault=f"kill {step} {at}")
            assert await worker.exit_status() == -signal.SIGKILL, worker.output
            scenario.injected()
        scenario.worker("--name=one")


async def test_at_random_moments(broker: Broker, tmp_path: Path) -> None:
    """Fifty times, of two workers the one and then the other: while they start, restore, fold or commit."""
    random = Random(5)
    async with Scenario(broker, "random.", tmp_path, "kill -9 at random moments", session_ms=STATIC) as scenario:
        workers = [scenario.worker(f"--name={name}") for name in ("one", "two")]
        await scenario.committed()
        for number in range(50):
            await asyncio.sleep(random.uniform(0, 3))
            which = number % 2
            workers[which].kill()
            scenario.injected()
            workers[which] = scenario.worker(f"--name={('one', 'two')[which]}")
