"""What an operator does to a running or stopped installation: rebuild its state, accept dead letters."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.schemas.topics import DEAD_LETTERS, FOLLOW_UP, RESPONSES, SERVICE_RECOVERY, WINDOWS
from tests.support.waiting import eventually

from .harness import FIXED, SECONDS, Harness, lines, response_line


async def command(harness: Harness, *words: str) -> subprocess.CompletedProcess[str]:
    """`npsflow WORDS` on this installation."""
    names = {"NPSFLOW_BROKERS": harness.installation.brokers, "NPSFLOW_PREFIX": harness.installation.prefix}
    called = [sys.executable, "-m", "npsflow.agents.entry", *words]
    return await asyncio.to_thread(
        subprocess.run, called, env=os.environ | names, capture_output=True, text=True, timeout=3 * SECONDS
    )


async def test_rebuild_gives_the_same_and_sends_nothing_twice(broker: Broker) -> None:
    async with Harness(broker, "rebuilt.") as harness:
        harness.produce(lines(800))
        async with harness.worker():
            await eventually(harness.finished)
            refused = await command(harness, "rebuild", "--yes")
            assert refused.returncode == 1
            assert "stop them" in refused.stderr
        windows = await harness.windows()
        outputs = {t: len(await harness.read(t)) for t in (RESPONSES, SERVICE_RECOVERY, FOLLOW_UP, DEAD_LETTERS)}

        rebuilt = await command(harness, "rebuild", "--yes")
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert await harness.windows() == windows
        tombstones = [record for record in await harness.read(WINDOWS) if record.value is None]
        assert len(tombstones) >= len(windows)
        assert all("ce_type" in dict(record.headers) for record in tombstones)
        assert {topic: len(await harness.read(topic)) for topic in outputs} == outputs
        assert await harness.differences() == []

        harness.produce(lines(200, seed=8))  # and work goes on from there
        async with harness.worker():
            await eventually(harness.finished)
        assert await harness.differences() == []


async def test_rebuild_brings_back_alerts_that_were_deleted_before_recover_had_read_them(
    broker: Broker, tmp_path: Path
) -> None:
    """After it, recover goes on once with --accept-loss: what it had not read is written again, behind its position."""
    async with Harness(broker, "unread.") as harness:
        harness.produce(response_line(number) for number in range(40))  # content, so that recover decides nothing yet
        async with harness.worker():
            await eventually(harness.finished)
        harness.produce(lines(200, seed=8))
        with harness.process(tmp_path, "--stages=classify,rollup"):
            await eventually(harness.caught_up)
            await eventually(partial(harness.caught_up, "rollup"))
        for topic in (SERVICE_RECOVERY, FOLLOW_UP):
            unread = {
                TopicPartition(harness.installation.topic(topic), p): e for p, e in (await harness.ends(topic)).items()
            }
            await harness.admin.delete_records({tp: RecordsToDelete(end) for tp, end in unread.items()})
        with harness.process(tmp_path) as refusing:
            assert await refusing.exit_status() == 2
        rebuilt = await command(harness, "rebuild", "--yes")
        assert rebuilt.returncode == 0, rebuilt.stderr
        with harness.process(tmp_path, "--accept-loss"):
            await eventually(harness.finished)
        assert await harness.differences() == []


async def test_a_partition_stops_until_its_dead_letters_are_accepted(broker: Broker) -> None:
    async with Harness(broker, "accepted.", FIXED + "[dead_letters]\npause = true\n") as harness:
        bad = Line(b"a/1", b"{", "bad:not_json")
        partition = harness.partition(bad)
        harness.produce([bad] * 1_500)

        async def paused() -> bool:
            return (await harness.offsets("classify")).get(partition) == 1_000

        async with harness.worker():
            await eventually(paused)
        async with harness.worker() as another:

            async def ready() -> bool:
                return another.ready

            await eventually(ready)
            assert another.sources[0].tasks[partition].paused
            assert len(await harness.read(DEAD_LETTERS)) == 1_000
            accepted = await command(harness, "dlq", "accept")
            assert accepted.returncode == 0, accepted.stderr
            await eventually(harness.finished)
        assert len(await harness.read(DEAD_LETTERS)) == 1_500
        listed = await command(harness, "dlq", "list", "--state", "accepted", "--json")
        assert len(listed.stdout.splitlines()) == 1_000
