"""What is on the topics, as a reader of committed records sees it; and whether that is all."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from npsflow.agents.demo.installation import DemoInstallation
from npsflow.agents.demo.show import Waiting
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.kafka import clients, reading
from npsflow.schemas import codec, topics
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Record
from npsflow.streams.topology import STAGES

_SECONDS = 60.0
_POLL = 0.1


async def records(installation: Installation, topic: str) -> list[Record]:
    """Everything on a topic (without prefix)."""
    return [record async for record in reading.committed_records(installation, topic)]


async def windows(installation: Installation) -> list[dict[str, Any]]:
    """The current windows."""
    latest = await reading.latest_by_key(reading.committed_records(installation, topics.WINDOWS))
    return [codec.loads(value) for _, value in latest.values()]


async def history(installation: Installation) -> list[dict[str, Any]]:
    """The hours and days of history."""
    latest = await reading.latest_by_key(reading.committed_records(installation, topics.HISTORY))
    return [codec.loads(value) for _, value in latest.values()]


async def lag(here: DemoInstallation) -> int:
    """Records that are in the input topic, but whose effects are not committed yet."""
    async with (
        clients.admin(here.installation) as admin,
        clients.reader(here.installation, isolation="read_uncommitted") as consumer,
    ):
        return await _lag(here, admin, consumer, "classify")


async def processed(here: DemoInstallation, progress: Waiting) -> None:
    """Return when all stages have committed the effects of everything that was sent. Raises DemoFailed."""
    deadline = time.monotonic() + _SECONDS
    async with (
        clients.admin(here.installation) as admin,
        clients.reader(here.installation, isolation="read_uncommitted") as consumer,
    ):
        while True:
            left = {stage: await _lag(here, admin, consumer, stage) for stage in STAGES}
            if not any(left.values()) and await _in_time(here.installation):
                return
            progress.detail = "records to go: " + ", ".join(f"{stage} {records:,}" for stage, records in left.items())
            here.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"after {_SECONDS:.0f} s the workers were not through, {progress.detail}")
            await asyncio.sleep(_POLL)


async def _lag(here: DemoInstallation, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, stage: str) -> int:
    """From the offsets the group has committed to the very end, behind transactions that are still open.

    The last stable offset would not do: a killed worker's open transaction holds it back, and all that came later.
    """
    committed = await reading.committed_offsets(admin, here.installation.group(stage))
    return await reading.lag(consumer, here.inputs(stage), committed)


async def _in_time(installation: Installation) -> bool:
    """Whether roll up has reached the stream time of classify: its last tick may be a second behind the records."""
    classify, rollup = await asyncio.gather(
        *(reading.positions(installation, stage) for stage in ("classify", "rollup"))
    )
    time = max(position["stream_time"] for position in classify)
    return all(position["stream_time"] >= time for position in rollup)
