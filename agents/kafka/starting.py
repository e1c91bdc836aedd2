"""What a worker refuses at its start, found by the code that refuses it; for the worker itself and `npsflow check`.

What a task finds when it is restored is the same, only later, and then it ends the worker.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import session_refused
from npsflow.schemas.errors import ChangelogRefused, NpsflowError, SettingsError, StateError
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine import admin
from npsflow.streams.engine.changelog import Changelog
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import client_of
from npsflow.streams.engine.kafka.protocol import AskForSession
from npsflow.streams.engine.observer import Observers
from npsflow.streams.stage import Record
from npsflow.streams.topology import STAGES

_GROUP = 0
_AGAIN = 1.0  # seconds: what is looked at one after the other moves while another worker runs


async def refusals(
    settings: Settings, installation: Installation, stages: Iterable[str], engine: EngineSettings | None = None
) -> list[NpsflowError]:
    """What a worker of these stages would not start with, as it would say it; [] if it starts. Raises KafkaError."""
    made = [STAGES[name][0](settings, installation) for name in stages]
    contexts = [Context(stage, installation, engine or EngineSettings(), Observers([])) for stage in made]
    if found := await _look(installation, contexts):
        await asyncio.sleep(_AGAIN)
        found = await _look(installation, contexts)
    return found


async def _look(installation: Installation, contexts: list[Context]) -> list[NpsflowError]:
    found: list[NpsflowError] = [*await _session(installation)]
    async with clients.admin(installation) as client, clients.reader(installation) as consumer:
        for context in contexts:
            try:
                partitions = await admin.input_counts(client_of(consumer), context.stage, installation)
            except StateError as error:
                found.append(error)
                continue
            tasks = [Changelog(context, number, partitions) for number in range(next(iter(partitions.values())))]
            offsets = await _offsets(client, consumer, tasks)
            found += list(filter(None, (_unfit(task, offsets) for task in tasks)))[:1]  # the others would say the same
    return found


class _Offsets(NamedTuple):
    """Of one stage: what its group has committed, its position records, and where its inputs and logs begin and end."""

    committed: Mapping[TopicPartition, OffsetAndMetadata]
    begin: Mapping[TopicPartition, int]
    positions: Mapping[int, Record]
    end: Mapping[TopicPartition, int]


async def _offsets(client: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, tasks: list[Changelog]) -> _Offsets:
    """In this order: a worker that runs meanwhile moves them on, and must not seem to be ahead of its topics."""
    stage, installation = tasks[0].stage, tasks[0].installation
    tps = [tp for task in tasks for tp in (*_inputs(task).values(), *filter(None, [task.log]))]
    committed = await reading.committed_offsets(client, installation.group(stage.name))
    begin = await consumer.beginning_offsets(tps)
    positions = await reading.position_records(installation, stage.name)
    return _Offsets(committed, begin, positions, await consumer.end_offsets(tps))


def _inputs(task: Changelog) -> dict[str, TopicPartition]:
    return {name: TopicPartition(task.installation.topic(name), task.partition) for name in task.stage.inputs}


def _unfit(task: Changelog, offsets: _Offsets) -> ChangelogRefused | None:
    """Why the task would not be restored."""
    record, inputs = offsets.positions.get(task.partition), _inputs(task)
    committed = {name: offsets.committed[tp].offset if tp in offsets.committed else None for name, tp in inputs.items()}
    try:
        position = None if record is None else task.decode(record.value or b"", record.offset)
        if position is not None and task.log is not None:
            task.check_log(position, offsets.begin[task.log], offsets.end[task.log])
        begin, end = ({name: at[tp] for name, tp in inputs.items()} for at in (offsets.begin, offsets.end))
        task.check(position, committed, begin, end)
    except ChangelogRefused as error:
        return error
    return None


async def _session(installation: Installation) -> list[SettingsError]:
    """Ask in a group that nobody is in, unless it is the default. A client that may not use it learns nothing."""
    if installation.session_ms == Installation().session_ms:
        return []
    group = installation.group("check")
    async with clients.client(installation) as client:
        try:
            node = await client.coordinator_lookup(_GROUP, group)
        except KafkaError:
            return []
        answer = await client.send(node, AskForSession(group, installation.session_ms))
    refused = answer.error_code == InvalidSessionTimeoutError.errno
    return [session_refused()] if refused else []
