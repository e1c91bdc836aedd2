"""What an operator does to a running or stopped installation: rebuild its state, accept dead letters."""

import asyncio
import os
import subprocess
import sys

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.schemas.topics import DEAD_LETTERS, FOLLOW_UP, RESPONSES, SERVICE_RECOVERY

from .harness import FIXED, SECONDS, Installation, eventually, lines


async def command(installation: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """`npsflow WORDS` on this installation."""
    names = {"NPSFLOW_BROKERS": installation.where.brokers, "NPSFLOW_PREFIX": installation.where.prefix}
    called = [sys.executable, "-m", "npsflow.agents.cli", *words]
    return await asyncio.to_thread(
        subprocess.run, called, env=os.environ | names, capture_output=True, text=True, timeout=3 * SECONDS
    )


async def test_rebuild_gives_the_same_and_sends_nothing_twice(broker: Broker) -> None:
    async with Installation(broker, "rebuilt.") as installation:
        installation.produce(lines(800))
        async with installation.worker():
            await eventually(installation.finished)
            refused = await command(installation, "rebuild", "--yes")
            assert refused.returncode == 1 and "stop them" in refused.stderr
        windows = await installation.windows()
        outputs = {t: len(await installation.read(t)) for t in (RESPONSES, SERVICE_RECOVERY, FOLLOW_UP, DEAD_LETTERS)}

        rebuilt = await command(installation, "rebuild", "--yes")
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert await installation.windows() == windows
        assert {topic: len(await installation.read(topic)) for topic in outputs} == outputs
        assert await installation.differences() == []

        installation.produce(lines(200, seed=8))  # and work goes on from there
        async with installation.worker():
            await eventually(installation.finished)
        assert await installation.differences() == []


async def test_a_partition_stops_until_its_dead_letters_are_accepted(broker: Broker) -> None:
    async with Installation(broker, "accepted.", FIXED + "[dead_letters]\npause = true\n") as installation:
        bad = Line(b"a/1", b"{", "bad:not_json")
        partition = installation.partition(bad)
        installation.produce([bad] * 1_500)

        async def paused() -> bool:
            return (await installation.offsets("classify")).get(partition) == 1_000

        async with installation.worker():
            await eventually(paused)
        async with installation.worker() as another:

            async def ready() -> bool:
                return another.ready

            await eventually(ready)
            assert another.sources[0].tasks[partition].fold.paused
            assert len(await installation.read(DEAD_LETTERS)) == 1_000
            accepted = await command(installation, "dlq", "accept")
            assert accepted.returncode == 0, accepted.stderr
            await eventually(installation.finished)
        assert len(await installation.read(DEAD_LETTERS)) == 1_500
