"""Changelogs of a task in memory: written and read by the engine's own code, without a broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.observer import Observer
from npsflow.streams.stage import Output, Record, Stage


@dataclass(frozen=True, slots=True)
class Stored:
    """A record of a changelog."""

    key: bytes | None
    value: bytes | None
    offset: int


class Topics:
    """Records by partition, and of a consumer as much as a changelog is read with."""

    def __init__(self) -> None:
        self._records: dict[TopicPartition, list[Stored]] = {}
        self._begins: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}

    def append(self, tp: TopicPartition, key: bytes | None, value: bytes | None) -> None:
        records = self._records.setdefault(tp, [])
        records.append(Stored(key, value, len(records)))

    def latest(self, tp: TopicPartition, key: bytes) -> bytes | None:
        """The last value under this key."""
        return next((r.value for r in reversed(self._records.get(tp, [])) if r.key == key), None)

    def delete_before(self, tp: TopicPartition, offset: int) -> None:
        self._begins[tp] = offset

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions, 0)

    def unsubscribe(self) -> None:
        self._positions = {}

    async def seek_to_beginning(self, tp: TopicPartition) -> None:
        self._positions[tp] = self._begins.get(tp, 0)

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def getmany(self, tp: TopicPartition, *, timeout_ms: int, max_records: int) -> Mapping[Any, list[Stored]]:
        begin = self._positions[tp]
        records = self._records.get(tp, [])[begin : begin + max_records]
        self._positions[tp] += len(records)
        return {tp: records}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._begins.get(tp, 0) for tp in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._records.get(tp, [])) for tp in partitions}


class ChangelogTask:
    """Folds and commits as a task of partition 0 does; `topics` hold its changelogs and outlive it."""

    def __init__(
        self, stage: Stage, installation: Installation, topics: Topics | None = None, *, rebuilding: bool = False
    ) -> None:
        self.topics = topics or Topics()
        self._pending: list[Output] = []
        self.fold = stage.open(0, 1, self._pending.append)
        self._prefix = installation.prefix
        context = Context(stage, installation, EngineSettings(rebuilding=rebuilding), Observer())
        self.changelog = Changelog(context, 0, dict.fromkeys(stage.inputs, 1))
        self.position = Position(dict.fromkeys(stage.inputs, 0))

    async def restore(self) -> None:
        """Read what was committed. Raises ChangelogRefused."""
        self.position = await self.changelog.restore(self.topics, self.fold) or self.position

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                change = self.fold.read(record)
            except Exception as error:
                change = self.fold.crashed(record, error)
            self.fold.apply(change)
            self.position.offsets[record.topic.removeprefix(self._prefix)] = record.offset + 1

    def commit(self, now: int) -> list[Output]:
        """Give the outputs; changelogs go to their topics."""
        checkpoint = self.fold.checkpoint(now)
        self.position.stream_time = self.fold.stream_time
        self.position.counters = dict(self.fold.counters)
        self.changelog.release(self.fold.stream_time)
        self.changelog.write(self._pending.append, self.position, checkpoint)
        state, log = self.changelog.state, self.changelog.log
        outputs, ours = [], {tp.topic.removeprefix(self._prefix): tp for tp in (state, log) if tp is not None}
        for output in self._pending:
            if output.topic in ours:
                self.topics.append(ours[output.topic], output.key, output.value)
            else:
                outputs.append(output)
        self._pending.clear()
        if log is not None:
            first = self.changelog.log_range[1]
            for offset, (_, needed_until) in enumerate(checkpoint.log, first):
                self.changelog.logged(offset, needed_until)
        return outputs
