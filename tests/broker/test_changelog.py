"""State that cannot be trusted is refused: the worker ends, says what to do, and has written nothing."""

from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients
from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.topics import FOLLOW_UP, RESPONSES
from npsflow.streams.engine.changelog import FORMAT
from tests.support.waiting import eventually

from .harness import FIXED, Harness, lines

STATE, REMEMBERED = "npsflow-classify-state", "npsflow-classify-remembered"


async def test_refused(broker: Broker, tmp_path: Path) -> None:
    """One damage after another, each to a partition that is restored before those damaged earlier."""
    async with Harness(broker, "refused.") as harness:
        harness.produce(lines(400))
        async with harness.worker():
            await eventually(harness.finished)
        harness.produce(lines(100, seed=8))  # a worker that went on would have something to do

        async def written(partition: int) -> list[int]:
            """Ends of what the task writes, markers included."""
            return [(await harness.ends(topic))[partition] for topic in (STATE, REMEMBERED, FOLLOW_UP)]

        async def refused(partition: int) -> str:
            """Start a worker; gives the line in which it refused this partition."""
            before = await written(partition)
            with harness.process(tmp_path, "--stages=classify") as process:
                assert await process.exit_status() == 2
            assert await written(partition) == before
            last = process.output.splitlines()[-1]
            assert f"{harness.installation.topic(STATE)}[{partition}]" in last
            return last

        await delete_records(harness, REMEMBERED, partition=3)
        error = await refused(3)
        assert "records were deleted" in error
        assert "npsflow rebuild" in error

        harness.produce(lines(100, seed=9))
        await delete_records(harness, RESPONSES, partition=2)
        error = await refused(2)
        assert "records were deleted before they were read" in error
        assert "npsflow rebuild" in error

        await allow_deletion(harness, STATE)
        await delete_records(harness, STATE, partition=1)
        error = await refused(1)
        assert "it is empty, but group refused.npsflow-classify has read" in error
        assert "npsflow rebuild" in error

        position = (await positions(harness))[0]
        await write_position(harness, position | {"format": FORMAT + 1})
        error = await refused(0)
        assert f"written in format {FORMAT + 1}" in error
        assert "npsflow rebuild" in error

        await write_position(harness, position | {"offsets": {RESPONSES: 1_000_000}})
        error = await refused(0)
        assert "its position in survey-responses is 1000000" in error
        assert "npsflow rebuild" in error


async def test_changed_partition_count_is_refused(broker: Broker, tmp_path: Path) -> None:
    async with Harness(broker, "count.") as harness:
        await harness.admin.create_partitions({harness.installation.topic(RESPONSES): NewPartitions(5)})
        with harness.process(tmp_path, "--stages=classify") as process:
            assert await process.exit_status() == 2
        assert "it has 4 partitions where the input has {'survey-responses': 5}" in process.output
        assert "npsflow rebuild" in process.output


async def test_outputs_with_other_partitions_are_refused(broker: Broker, tmp_path: Path) -> None:
    """Keys would be sent where nobody looks for them, or to a partition that is not there."""
    async with Harness(broker, "outputs.") as harness:
        harness.configure(FIXED + "[topics]\npane_partitions = 3\n")
        with harness.process(tmp_path, "--stages=classify") as process:
            assert await process.exit_status() == 2
        assert "outputs.nps-panes[0]: it has 2 partitions instead of 3: set [topics]" in process.output


async def test_windows_of_other_lengths_need_a_rebuild(broker: Broker, tmp_path: Path) -> None:
    """Panes that were not kept meanwhile would be missing in them."""
    async with Harness(broker, "lengths.") as harness:
        harness.produce(lines(200))
        async with harness.worker():
            await eventually(harness.finished)
        harness.configure(FIXED + '[windows]\nlengths = ["1h", "30d"]\n')
        with harness.process(tmp_path, "--stages=rollup") as process:
            assert await process.exit_status() == 2
        assert "it was made with {'windows.lengths': ['1h', '24h', '7d', '30d']}, now there is" in process.output
        assert "npsflow rebuild" in process.output


async def delete_records(harness: Harness, topic: str, partition: int) -> None:
    """All there are in a partition."""
    tp = TopicPartition(harness.installation.topic(topic), partition)
    await harness.admin.delete_records({tp: RecordsToDelete(before_offset=-1)})


async def allow_deletion(harness: Harness, topic: str) -> None:
    """As of a topic that is not compacted; the broker refuses it for others."""
    configs = {"cleanup.policy": "delete"}
    resource = ConfigResource(ConfigResourceType.TOPIC, harness.installation.topic(topic), configs)
    await harness.admin.alter_configs([resource])


async def positions(harness: Harness) -> dict[int, dict[str, Any]]:
    """The newest position record of each partition."""
    records = await harness.read(STATE)
    return {record.partition: loads(record.value or b"") for record in records if record.key == b"position"}


async def write_position(harness: Harness, position: dict[str, Any]) -> None:
    """As partition 0's last."""
    async with clients.producer(harness.installation) as producer:
        topic = harness.installation.topic(STATE)
        await producer.send_and_wait(topic, dumps(position), b"position", partition=0)
