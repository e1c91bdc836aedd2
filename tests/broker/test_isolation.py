"""Two installations on one cluster do not touch each other."""

from contextlib import AsyncExitStack

from npsflow.agents.broker.embedded import Broker
from tests.support.waiting import eventually

from .harness import FIXED, Harness, lines

FEW = FIXED + "[topics]\npartitions = 2\n"
"""Partitions: each task that starts costs time."""


async def test_two_prefixes(broker: Broker) -> None:
    """One of them the beginning of the other; both at work at the same time."""
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(Harness(broker, prefix, FEW)) for prefix in ("two.", "two.more.")]
        for seed, harness in enumerate(both):
            harness.produce(lines(500, seed))
            await stack.enter_async_context(harness.worker())
        for harness in both:
            await eventually(harness.finished)
            assert await harness.differences() == []
