"""State, panes and windows made anew from the responses; no event is written a second time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from npsflow.agents.kafka import clients, permissions, reading
from npsflow.agents.runtime import terminal
from npsflow.agents.worker import host
from npsflow.schemas import topics
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.events import WINDOW_UPDATED
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import rfc3339
from npsflow.streams.config.sections import DeadLetters
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.admin import create
from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.observer import Observer
from npsflow.streams.engine.replay import PublishedOutputs
from npsflow.streams.engine.source import Source
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Checkpoint, Stage
from npsflow.streams.topology import OUTPUT_IDS, REPLAYED, make_stage, wanted_changelogs
from npsflow.streams.windows.stage import tombstone

_DEADLINE = 60.0  # seconds without any progress


class RebuildRefused(NpsflowError, RuntimeError):
    """It cannot begin, or did not end."""


async def rebuild(settings: Settings, installation: Installation, report: Callable[[str], None]) -> None:
    """Empty state, panes and windows and replay all responses that the input topic still holds.

    `report` is called for each step. Raises RebuildRefused while workers run, or when the replay stands still;
    KafkaFailed.
    """
    # What was accepted or refused once is so again: no partition waits to be accepted, and no clock sets the time.
    settings = replace(settings, idle_ticks=False, dead_letters=DeadLetters(pause=False))
    # Before anything is removed: a missing permission would be noticed half-way.
    await permissions.require(installation, permissions.of_rebuild(settings, installation))
    async with clients.admin(installation) as admin:
        await _refuse_running(admin, installation)
        published = await _published(installation, report)
        begin = {tp.partition: begin for tp, (begin, _) in (await _ranges(installation, topics.RESPONSES)).items()}
        report("emptying state, panes and windows")
        await _recreate_changelogs(admin, settings, installation)
        panes = {tp: RecordsToDelete(end) for tp, (_, end) in (await _ranges(installation, topics.PANES)).items()}
        await admin.delete_records({tp: records for tp, records in panes.items() if records.before_offset})
        await _delete_windows(installation)
        classify, rollup = (make_stage(name, settings, installation) for name in REPLAYED)
        await _seed(installation, classify, begin)
        await _seed(installation, rollup, {tp.partition: r.before_offset for tp, r in panes.items()})
        await _replay(settings, installation, published, report)


async def _refuse_running(admin: AIOKafkaAdminClient, installation: Installation) -> None:
    for stage in REPLAYED:
        group = installation.group(stage)
        for response in await admin.describe_consumer_groups([group]):
            for _, _, state, *_ in response.groups:
                if state not in ("Empty", "Dead"):
                    raise RebuildRefused(f"group {group} has workers ({state.lower()}): stop them, then try again")


async def _published(installation: Installation, report: Callable[[str], None]) -> PublishedOutputs:
    """The ids on the output topics, and which records were forwarded."""
    published = PublishedOutputs(OUTPUT_IDS)
    for topic in OUTPUT_IDS:
        async for record in reading.committed_records(installation, topic):
            published.add(topic, [record])
        report(f"{installation.topic(topic)}: {published.counts[topic]} known")
    return published


async def _ranges(installation: Installation, topic: str) -> dict[TopicPartition, tuple[int, int]]:
    of = await reading.partitions(installation, topic)
    async with clients.reader(installation) as reader:
        return await reading.offset_ranges(reader, of)


async def _recreate_changelogs(admin: AIOKafkaAdminClient, settings: Settings, installation: Installation) -> None:
    changelogs = wanted_changelogs(settings, installation, REPLAYED)
    names = {w.name for w in changelogs}
    await admin.delete_topics(sorted(names & set(await admin.list_topics())))

    async def gone() -> bool:
        return not names & set(await admin.list_topics())

    async def made() -> bool:
        with contextlib.suppress(KafkaError):  # a topic may be gone from the list a moment before its name is free
            await create(admin, changelogs)
        return names <= set(await admin.list_topics())

    async with asyncio.timeout(_DEADLINE):
        await clients.until(gone)
        await clients.until(made)


async def _delete_windows(installation: Installation) -> None:
    """A tombstone for every window: readers of the table see it empty, then filled again."""
    latest = await reading.latest_by_key(reading.committed_records(installation, topics.WINDOWS))
    events, at = CloudEvents(installation.event_source, [WINDOW_UPDATED]), rfc3339(int(time.time() * 1000))
    async with _outputs(installation) as outputs:
        for key, (partition, _) in latest.items():
            outputs.emit(tombstone(events, partition, key, at))


async def _seed(installation: Installation, stage: Stage, offsets: dict[int, int]) -> None:
    """Write a position to replay from, which no worker takes for complete state."""
    (topic,) = stage.inputs
    context = Context(stage, installation, EngineSettings(rebuilding=True), Observer())
    async with _outputs(installation) as outputs:
        for partition, offset in offsets.items():
            changelog = Changelog(context, partition, {topic: len(offsets)})
            changelog.write(outputs.emit, Position({topic: offset}), Checkpoint())


@contextlib.asynccontextmanager
async def _outputs(installation: Installation) -> AsyncIterator[Outputs]:
    async with clients.producer(installation) as producer:
        outputs = Outputs(producer, installation.prefix, 0)
        yield outputs
        await clients.deliver(producer, outputs)


async def _replay(
    settings: Settings, installation: Installation, published: PublishedOutputs, report: Callable[[str], None]
) -> None:
    worker = host(settings, installation, REPLAYED, published=published)
    async with worker.app:
        # When classify has ended, all that roll up will ever have to read is there.
        for source in worker.sources:
            await _catch_up(source, installation, report)
            await source.end_rebuild()


async def _catch_up(source: Source, installation: Installation, report: Callable[[str], None]) -> None:
    """Wait until a stage has read all there is now; what comes later is left to the workers.

    Raises RebuildRefused when it stands still.
    """
    stage, (topic,) = source.stage.name, source.stage.inputs
    ends = {tp.partition: end for tp, (_, end) in (await _ranges(installation, topic)).items()}
    first, last, loop = -1, -1, asyncio.get_running_loop()
    deadline = loop.time() + _DEADLINE
    with terminal.reading(stage) as progress:
        while True:
            read = {p: task.position.offsets.get(topic, 0) for p, task in source.tasks.items()}
            behind = sum(max(0, end - read.get(p, 0)) for p, end in ends.items())
            if not behind and source.ready:
                return
            first = max(first, behind)
            progress(first - behind, first)
            if behind != last:
                last, deadline = behind, loop.time() + _DEADLINE
                if not terminal.shows_progress():
                    report(f"{stage}: {behind} records to read")
            if loop.time() > deadline:
                text = f"{stage} stands still {behind} records before the end: see the log, then try again"
                raise RebuildRefused(text)
            await asyncio.sleep(0.5)
