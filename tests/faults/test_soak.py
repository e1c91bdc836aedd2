"""A long time under load: nothing grows that should not, and all of it comes out once.

`make soak` takes half an hour at 5,000 responses a second, in which ten horizons pass. NPSFLOW_TEST_SOAK_SECONDS and
NPSFLOW_TEST_SOAK_RATE make it shorter or calmer; in less than ten minutes trends are only reported, not judged.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas.codec import loads
from npsflow.schemas.topics import FOLLOW_UP, RESPONSES, SERVICE_RECOVERY
from tests.broker.harness import Harness
from tests.support.waiting import eventually

from .scenario import REPORTS
from .soaking import SETTINGS, Load, Sample, number_of, sample, score, trends

DURATION = int(os.environ.get("NPSFLOW_TEST_SOAK_SECONDS", "1800"))
RATE = int(os.environ.get("NPSFLOW_TEST_SOAK_RATE", "5000"))
JUDGED = 600
"""Seconds: what is shorter says nothing about trends."""

WARM_UP = 1 / 3
"""Of the time: until the first horizons have passed, and what they held is let go."""

EVERY = 1.0
GROWTH = 0.1
"""So much of its mean may a measure grow while it is watched."""

PATIENCE = 600


@pytest.mark.soak
async def test_soak(own_broker: Broker, tmp_path: Path) -> None:
    load, prefix = Load(DURATION * RATE), "soak."
    async with Harness(own_broker, prefix, SETTINGS, session_ms=10_000) as harness:
        with harness.process(tmp_path) as worker:
            async with harness.producing(load.lines(), RATE * 1.02):
                samples = await watch(harness, own_broker, worker.pid)
            ended = time.monotonic()
            await eventually(harness.finished, PATIENCE)
            behind = time.monotonic() - ended
            found = trends([sample for sample in samples if sample.at > DURATION * WARM_UP])
            lost, repeated = await asyncio.to_thread(compare_events, harness, load)
            measured = ", ".join(map(str, found))
            REPORTS.append(
                f"soak of {DURATION} s at {RATE:,}/s: {load.count:,} responses, caught up after {behind:.1f} s, "
                f"lost {lost}, repeated {repeated}; {measured}"
            )
            assert (lost, repeated) == (0, 0)
            assert await harness.outcomes() == load.outcomes()
            assert await windows(harness) == load.windows()
            assert not worker.logged("task dropped")
    if DURATION >= JUDGED:
        hours = DURATION * (1 - WARM_UP) / 3600
        growing = [trend for trend in found if trend.name != "lag" and trend.slope * hours > GROWTH * trend.mean]
        assert growing == []
        assert behind < DURATION * GROWTH, "the lag did not grow"


async def watch(harness: Harness, broker: Broker, pid: int) -> list[Sample]:
    """Look at it once a second as long as the load lasts."""

    async def answers() -> bool:
        return await harness.offsets("classify") is not None

    await eventually(answers)  # a new broker has no coordinator at first
    samples: list[Sample] = []
    began = time.monotonic()
    while (at := time.monotonic() - began) < DURATION:
        committed = await harness.offsets("classify")
        lag = sum((await harness.ends(RESPONSES)).values()) - sum(committed.values())
        samples.append(sample(at, pid, lag, broker, harness.installation.prefix))
        await asyncio.sleep(EVERY)
    return samples


def compare_events(harness: Harness, load: Load) -> tuple[int, int]:
    """How many events are missing, and how many too many: each response has one, on the topic of its score."""
    wrong = Counter[str]()
    for topic, unhappy in ((SERVICE_RECOVERY, True), (FOLLOW_UP, False)):
        seen = bytearray(load.count)
        for value in committed(harness, topic):
            number = number_of(value)
            wrong["repeated"] += seen[number] or (score(number) <= 6) is not unhappy
            seen[number] = 1
        wrong["lost"] += sum(1 for number in range(load.count) if (score(number) <= 6) is unhappy and not seen[number])
    return wrong["lost"], wrong["repeated"]


def committed(harness: Harness, topic: str) -> Iterator[bytes | None]:
    """All values on a topic; with another client than the harness has, which is faster."""
    options = {"group.id": "unused", "isolation.level": "read_committed", "enable.partition.eof": "true"}
    consumer = Consumer(harness.client | options)
    unread = set(range(harness.settings.topics.partitions))
    consumer.assign([TopicPartition(harness.installation.topic(topic), partition, 0) for partition in unread])
    try:
        while unread:
            for message in consumer.consume(10_000, 1):
                if (error := message.error()) is None:
                    yield message.value()
                else:
                    assert error.name() == "_PARTITION_EOF", error
                    unread.discard(message.partition())
    finally:
        consumer.close()


async def windows(harness: Harness) -> dict[tuple[str, str], Counter[int]]:
    """As they stand on the topic, in the form of the expected ones."""
    found = {}
    for value in map(loads, (await harness.windows()).values()):
        histogram = Counter({int(score): count for score, count in value["histogram"].items()})
        found[value["segment"].get("channel", ""), value["window"]] = histogram
    return found
