"""What stands on the topics, as a reader of committed records sees it; and whether that is all."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from npsflow.agents.demo.installation import DemoInstallation
from npsflow.agents.demo.show import Waiting
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Record
from npsflow.streams.topology import STAGES

_SECONDS = 60.0
_POLL = 0.1


async def records(installation: Installation, topic: str) -> list[Record]:
    """Everything on a topic (without prefix)."""
    return [record async for record in clients.committed_records(installation, topic)]


async def windows(installation: Installation) -> list[dict[str, Any]]:
    """The windows that stand: the last value of each key."""
    latest = {record.key: record.value for record in await records(installation, topics.WINDOWS)}
    return [codec.loads(value) for value in latest.values() if value is not None]


async def lag(here: DemoInstallation) -> int:
    """Records that are in the input topic, but whose effects are not committed yet."""
    async with (
        clients.admin(here.installation) as admin,
        AIOKafkaConsumer(**clients.client_settings(here.installation)) as consumer,
    ):
        return await _lag(here, admin, consumer, "classify")


async def processed(here: DemoInstallation, progress: Waiting) -> None:
    """Return when all stages have committed the effects of everything that was sent. Raises DemoFailed."""
    deadline = time.monotonic() + _SECONDS
    async with (
        clients.admin(here.installation) as admin,
        AIOKafkaConsumer(**clients.client_settings(here.installation)) as consumer,
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
    of = here.inputs(stage)
    committed = await admin.list_consumer_group_offsets(here.installation.group(stage))
    ranges = await clients.offset_ranges(consumer, of)  # after the group, whose answer is then not out of date
    return sum(end - (committed[tp].offset if tp in committed else begin) for tp, (begin, end) in ranges.items())


async def _in_time(installation: Installation) -> bool:
    """Whether roll up has heard how far classify got: its last tick may follow a second behind the records."""
    classify, rollup = await asyncio.gather(
        *(clients.positions(installation, stage) for stage in ("classify", "rollup"))
    )
    time = max(position["stream_time"] for position in classify)
    return all(position["stream_time"] >= time for position in rollup)
