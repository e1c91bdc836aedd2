"""What may happen to a changelog while workers are away: compacted, it serves; emptied or of a later version it is
refused, by name, and a rebuild gives the same tables and tells nothing twice.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients
from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.topics import DEAD_LETTERS, FOLLOW_UP, RESPONSES, SERVICE_RECOVERY
from npsflow.streams.engine.changelog import FORMAT, POSITION
from npsflow.streams.stage import Record
from tests.broker.harness import Harness
from tests.support.waiting import eventually

from .scenario import PATIENCE, Load, Scenario
from .watching import has_tasks

CLASSIFY, ROLLUP = "npsflow-classify-state", "npsflow-rollup-state"
"""Changelogs that are compacted."""

OUTPUTS = (RESPONSES, SERVICE_RECOVERY, FOLLOW_UP, DEAD_LETTERS)


async def test_compacted_before_the_restore(own_broker: Broker, tmp_path: Path) -> None:
    """Kafka's cleaner has been over both changelogs before a killed worker is started again, twice."""
    async with Scenario(own_broker, "compacted.", tmp_path, "changelog compacted, then kill -9") as scenario:
        harness = scenario.harness
        for topic in (CLASSIFY, ROLLUP):
            await harness.configure_topic(topic, {"segment.ms": "500", "min.cleanable.dirty.ratio": "0.0001"})
        worker = scenario.worker("--name=one")
        for _ in range(2):
            await scenario.committed(1_000)
            for topic in (CLASSIFY, ROLLUP):
                await eventually(partial(compacted, harness, topic), PATIENCE)
            worker.kill()
            scenario.injected()
            worker = scenario.worker("--name=one")
            await eventually(has_tasks(worker, 4 + 2), PATIENCE)


async def compacted(harness: Harness, topic: str) -> bool:
    """Whether most position records but the last are gone from each partition, of very many commits."""
    ends = await harness.ends(topic)
    left = Counter(r.partition for r in await harness.read(topic) if r.key == POSITION)
    return all(end > 2 * left[partition] + 20 for partition, end in ends.items())


@pytest.mark.parametrize("damage", ["emptied", "later version"])
async def test_refused_and_rebuilt(broker: Broker, tmp_path: Path, damage: str) -> None:
    """Responses keep coming all the time, also while the state is made anew."""
    prefix, fault = f"{damage.replace(' ', '-')}.", f"changelog {damage}, refused and rebuilt"
    async with Scenario(broker, prefix, tmp_path, fault, load=Load(rate=100)) as scenario:
        harness = scenario.harness
        worker = scenario.worker()
        await scenario.committed(1_000)
        worker.send(signal.SIGTERM)
        assert await worker.exit_status() == 0
        await (empty if damage == "emptied" else age)(harness)
        scenario.injected()
        before = await written(harness)

        refused = scenario.worker()
        assert await refused.exit_status() == 2
        error = refused.output.splitlines()[-1]
        assert f"{harness.installation.topic(CLASSIFY)}[0]" in error
        assert "npsflow rebuild" in error
        assert await written(harness) == before
        await rebuild(harness)
        scenario.worker()
    # The scenario has compared everything with the oracle: each alert and follow-up is there once.


async def empty(harness: Harness) -> None:
    """Partition 0 of classify's changelog loses all its records."""
    await harness.configure_topic(CLASSIFY, {"cleanup.policy": "delete"})
    tp = TopicPartition(harness.installation.topic(CLASSIFY), 0)
    await harness.admin.delete_records({tp: RecordsToDelete(before_offset=-1)})


async def age(harness: Harness) -> None:
    """A later version of npsflow has written the position of partition 0."""
    positions = [r for r in await harness.read(CLASSIFY) if r.key == POSITION and r.partition == 0]
    position: dict[str, Any] = loads(positions[-1].value or b"") | {"format": FORMAT + 1}
    async with clients.producer(harness.installation) as producer:
        await producer.send_and_wait(harness.installation.topic(CLASSIFY), dumps(position), POSITION, partition=0)


async def test_partitions_added_to_a_running_installation(broker: Broker, tmp_path: Path) -> None:
    """A worker that starts refuses, and has written nothing; the one at work goes on with what it knows."""
    async with Scenario(broker, "grown.", tmp_path, "partitions added to the input") as scenario:
        harness = scenario.harness
        scenario.worker()
        await scenario.committed(500)
        await harness.admin.create_partitions({harness.installation.topic(RESPONSES): NewPartitions(5)})
        scenario.injected()
        refused = scenario.worker("--stages=classify")
        assert await refused.exit_status() == 2
        assert "it has 4 partitions where the input has {'survey-responses': 5}" in refused.output.splitlines()[-1]
        await scenario.committed(500)


async def written(harness: Harness) -> dict[str, int]:
    """How many records classify has written to each of its topics; what others write to its input is none of it."""
    records = {topic: await harness.read(topic) for topic in OUTPUTS if topic != RESPONSES}
    return {topic: len([r for r in some if not is_case_event(r)]) for topic, some in records.items()}


def is_case_event(record: Record) -> bool:
    """Recover goes on, whatever keeps classify from it."""
    return dict(record.headers).get("ce_type", b"").startswith(b"npsflow.case.")


async def rebuild(harness: Harness) -> None:
    """`npsflow rebuild`, once the group has noticed that all workers have gone."""
    names = {"NPSFLOW_BROKERS": harness.installation.brokers, "NPSFLOW_PREFIX": harness.installation.prefix}
    called = [sys.executable, "-m", "npsflow.agents.entry", "rebuild", "--yes"]

    async def rebuilt() -> bool:
        done = await asyncio.to_thread(
            subprocess.run, called, env=os.environ | names, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0 or "stop them" in done.stderr, done.stderr
        return done.returncode == 0

    await eventually(rebuilt, PATIENCE)
