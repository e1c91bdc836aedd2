"""Other versions of Kafka than the embedded one: the oldest and the newest that docs/brokers.md names as tried."""

import asyncio
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker, free_port
from tests.conftest import SHORT_SESSIONS
from tests.support.waiting import eventually

from .scenario import PATIENCE, Scenario


@pytest.mark.parametrize("version", ["4.0.2", "4.4.0"])
async def test_killed_with_a_worker(tmp_path: Path, version: str) -> None:
    kafka = Broker(tmp_path / "kafka", free_port(), SHORT_SESSIONS, version=version, brief=True)
    await asyncio.to_thread(kafka.start)
    try:
        async with Scenario(
            kafka, "other.", tmp_path, f"Kafka {version} killed, and a worker", session_ms=6_000
        ) as load:
            load.worker()
            for _ in range(2):
                worker = load.worker()
                await load.committed(300)
                load.injected()
                worker.kill()
                await asyncio.to_thread(kafka.kill)
                await asyncio.to_thread(kafka.start)
                await eventually(load.recovered, PATIENCE)
    finally:
        await asyncio.to_thread(kafka.stop)
