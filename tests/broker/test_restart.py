"""However a worker ends, the next one carries on as if nothing had happened."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.classify.classifier import Change, Classifier
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.engine.context import EngineSettings
from npsflow.streams.engine.observer import Event, Folded, Lagging, Observer
from npsflow.streams.engine.source import Batch
from npsflow.streams.stage import Record
from npsflow.streams.topology import STAGES, StageEntry
from npsflow.streams.windows.stage import WindowsFold
from tests.support.waiting import eventually

from .harness import SECONDS, Harness, lines, response_line

STOP_SECONDS = 5


async def test_killed_in_mid_load(broker: Broker, tmp_path: Path) -> None:
    """At random moments, three times; the member is static, so that the next worker has its partitions at once."""
    random, count = Random(3), 6_000
    async with Harness(broker, "killed.") as harness, harness.producing(lines(count), 1_200):
        for part in range(1, 4):
            with harness.process(tmp_path, "--name=one"):
                await eventually(partial(committed_of, harness, count * part // 5))
                await asyncio.sleep(random.uniform(0, 0.5))
        with harness.process(tmp_path, "--name=one"):
            await eventually(harness.finished)
        assert await harness.differences() == []


async def test_terminated_in_mid_load(broker: Broker, tmp_path: Path) -> None:
    async with Harness(broker, "terminated.") as harness, harness.producing(lines(3_000), 600):
        with harness.process(tmp_path) as process:
            await eventually(partial(committed_of, harness, 500))
            process.send(signal.SIGTERM)
            assert await process.exit_status(STOP_SECONDS) == 0
        assert not await harness.caught_up()
        with harness.process(tmp_path):
            await eventually(harness.finished)
        assert await harness.differences() == []


async def test_debugging_signals_do_nothing(broker: Broker, tmp_path: Path) -> None:
    """The host of services would write local variables into the log on one of them, and stop on the other."""
    async with Harness(broker, "deaf.") as harness, harness.producing(lines(1_000), 500):
        with harness.process(tmp_path) as process:
            await eventually(partial(committed_of, harness, 300))
            process.send(signal.SIGUSR1)
            process.send(signal.SIGUSR2)
            await eventually(harness.finished)
            process.send(signal.SIGTERM)
            assert await process.exit_status(STOP_SECONDS) == 0
        assert all(line.startswith("{") for line in process.output.splitlines())


async def committed_of(harness: Harness, count: int) -> bool:
    return sum((await harness.offsets("classify")).values()) >= count


class FoldedTo(Observer):
    """How far each partition of classify is folded."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def observe(self, event: Event) -> None:
        if isinstance(event, Folded):
            self.positions[event.task.partition] = event.position


async def test_stop_commits_all_that_was_folded(broker: Broker) -> None:
    """No alert is among it, so that the commit could wait; it comes at once."""
    folded = FoldedTo()

    async def all_folded() -> bool:
        return folded.positions == await harness.ends(RESPONSES)

    async with Harness(broker, "stopped.") as harness:
        async with harness.worker("classify", engine=EngineSettings(normal_wait=3600.0), observers=[folded]):
            harness.produce(response_line(number) for number in range(100))
            await eventually(all_folded)
            assert not await harness.caught_up()
        assert await harness.caught_up()


class Looks(Observer):
    """Counts how often the worker has looked where a partition's input ends."""

    def __init__(self, partition: int) -> None:
        self.count, self._partition = 0, partition

    def observe(self, event: Event) -> None:
        self.count += isinstance(event, Lagging) and event.task.partition == self._partition


async def test_nothing_is_committed_before_it_is_folded(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the agent is held up, the worker sees the end of its input, and still does not commit to be there."""
    looks, waiting, go = Looks(partition=0), asyncio.Event(), asyncio.Event()
    make, _ = STAGES["classify"]

    async def held_up(batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            waiting.set()
            await go.wait()
            with batch:
                batch.fold()

    async def has_looked(times: int) -> bool:
        return looks.count >= times

    monkeypatch.setitem(STAGES, "classify", StageEntry(make, held_up))
    engine = EngineSettings(normal_wait=0.0)
    async with Harness(broker, "held.") as harness, harness.worker("classify", engine=engine, observers=[looks]):
        some = [response_line(number) for number in range(100)]
        harness.produce(line for line in some if harness.partition(line) == 0)
        await asyncio.wait_for(waiting.wait(), SECONDS)
        await eventually(partial(has_looked, looks.count + 3))
        assert not await harness.caught_up()
        go.set()
        await eventually(harness.caught_up)


async def test_crash_of_the_agent(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours outside `read` leaves a half-folded batch: the task is dropped, restored and replayed.

    The agent does not notice: three in a row would make its supervisor wait, and every task of the stage with it.
    """
    crash(monkeypatch, RememberedResponses, "remember", range(1_300, 1_303))
    crash(monkeypatch, WindowsFold, "apply", range(30, 31))
    async with Harness(broker, "crashed.") as harness:
        harness.produce(lines(2_000))
        async with harness.worker():
            await eventually(harness.finished)

        assert caplog.text.count("task dropped, restoring it") == 3 + 1
        assert "Crashed reason" not in caplog.text
        assert await harness.differences() == []


def crash(monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str, at: range) -> None:
    method, calls = getattr(owner, name), 0

    def crashing(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in at:
            raise RuntimeError("a mistake")
        return method(self, *arguments)

    monkeypatch.setattr(owner, name, crashing)


async def test_lateness_is_judged_after_a_restart_as_before(broker: Broker) -> None:
    """Stream time comes back with the state, of a task that has no newer response too."""
    async with Harness(broker, "late.") as harness:
        new = response_line(0)
        old = [response_line(number, submitted_at="2026-01-20T12:00:00Z") for number in range(1, 30)]
        late = [line for line in old if harness.partition(line) == harness.partition(new)]
        for given in ([new], late):
            async with harness.worker("classify"):
                harness.produce(given)
                await eventually(harness.caught_up)
        assert late
        assert await harness.outcomes() == Counter(counted=1, dead=len(late))


async def test_record_that_crashes_the_fold(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes a dead letter as it came, and what is behind it goes on."""
    read = Classifier.read

    def crashing(judge: Classifier, record: Record) -> Change:
        if b"unforeseen" in (record.value or b""):
            raise KeyError("a name or a comment")
        return read(judge, record)

    monkeypatch.setattr(Classifier, "read", crashing)
    good = [line for line in lines(200) if line.kind == "response"]
    bad = Line(good[50].key, b'{"comment":"unforeseen"}', "response")
    async with Harness(broker, "poison.") as harness, harness.worker("classify"):
        harness.produce([*good[:100], bad, *good[100:]])
        await eventually(harness.caught_up)

        (letter,) = await harness.read(DEAD_LETTERS)
        headers = dict(letter.headers)
        assert (letter.key, letter.value) == (bad.key, bad.value)
        assert headers["npsflow_dlq_reason"] == b"internal_error"
        assert b"a name or a comment" not in headers["npsflow_dlq_message"]
        assert await harness.outcomes() == Counter({"counted": len(good), "dead": 1})
