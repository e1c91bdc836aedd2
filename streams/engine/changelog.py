"""Changelogs of a task: what a commit adds to them, and how a task is restored from them.

`-state` (compacted) holds one position record, rewritten by each commit, and the stage's keyed state. `-remembered`
(a log, for stages that have one) holds a packed record per commit, deleted from the front once nobody needs it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaTimeoutError

from npsflow.schemas import codec
from npsflow.schemas.errors import ChangelogRefused
from npsflow.schemas.topics import changelog
from npsflow.streams.engine.context import Context
from npsflow.streams.engine.counters import decode_counters, encode_counters
from npsflow.streams.engine.observer import Restoring
from npsflow.streams.engine.transaction import Written
from npsflow.streams.stage import NORMAL, Checkpoint, CounterKey, Emit, Fold, Output

FORMAT = 1
POSITION = b"position"
_BATCH = 50  # a record of the log may be large
_VAIN = 60  # seconds in which nothing comes: longer than a client needs to notice that a broker is silent


@dataclass(slots=True)
class Position:
    """Where a task stands: next `offsets` of its input topics (without prefix), stream time in ms, counters.

    `log`: [begin, end) that the log changelog must at least hold, so that a lost one is noticed.
    """

    offsets: dict[str, int] = field(default_factory=dict)
    stream_time: int = 0
    counters: Mapping[CounterKey, int] = field(default_factory=dict)
    log: tuple[int, int] = (0, 0)
    asks: int = NORMAL
    """Bits of `apply`: PAUSE where the task was paused when it committed."""


class Changelog:
    """The changelogs of one task."""

    def __init__(self, context: Context, partition: int, partitions: Mapping[str, int]) -> None:
        """`partitions`: counts of the input topics (without prefix) as they are now."""
        self.stage, self.installation, self.partition = context.stage, context.installation, partition
        self.partitions = dict(partitions)
        self.task = context.task(partition)
        self.rebuilding = context.settings.rebuilding
        """Set while a rebuild replays the input: what it leaves behind if it does not end is refused by others."""
        self.accept_loss = context.settings.accept_loss
        self.end: int | None = None
        """Offset after this owner's last commit marker in `-state`: while it is the end, nobody has written since."""
        self.log_range = (0, 0)
        """[begin, end) of the log: what is before is no longer needed, what is behind nobody has written."""
        self.released = 0
        """Begin of the log as a commit has left it: only what is before that may be deleted."""
        self._hold = context.observer.hold
        self._needed_until: deque[tuple[int, int]] = deque()
        self._latest = self._purged = 0

    @property
    def state(self) -> TopicPartition:
        """Where position and keyed state are."""
        return TopicPartition(self.installation.changelog(self.stage.name, "state"), self.partition)

    @property
    def log(self) -> TopicPartition | None:
        """Where the log is, of a stage that has one."""
        if not self.stage.logs:
            return None
        return TopicPartition(self.installation.changelog(self.stage.name, "remembered"), self.partition)

    def write(self, emit: Emit, position: Position, checkpoint: Checkpoint) -> None:
        """Emit the records of one commit."""
        for key, value in checkpoint.state:
            emit(Output(changelog(self.stage.name, "state"), self.partition, key, value, []))
        for packed, _ in checkpoint.log:
            emit(Output(changelog(self.stage.name, "remembered"), self.partition, None, packed, []))
        record = {
            "format": FORMAT,
            "partitions": dict(self.partitions),
            "offsets": position.offsets,
            "stream_time": position.stream_time,
            "counters": encode_counters(position.counters),
            "log": self.log_range,
            "settings": self.stage.fixed,
            "rebuilding": self.rebuilding,
        }
        emit(Output(changelog(self.stage.name, "state"), self.partition, POSITION, codec.dumps(record), []))

    def committed(self, written: Mapping[TopicPartition, Written], log_begin: int, log_times: Sequence[int]) -> None:
        """Note where a commit ended that left the log to begin at `log_begin`, and when its log records are needed."""
        self.end = written[self.state].end + 1  # the commit marker
        self.released = log_begin
        if log_times and self.log is not None:
            for offset, log_time in enumerate(log_times, written[self.log].end - len(log_times)):
                self.logged(offset, log_time)

    def end_rebuild(self) -> None:
        """From the next commit on the state is whole."""
        self.rebuilding = False

    def logged(self, offset: int, log_time: int) -> None:
        """Note until which stream time (ms) the log record at `offset` is needed, and with it all that follow."""
        self._latest = max(self._latest, log_time)
        self._needed_until.append((offset, self._latest))
        self.log_range = self.log_range[0], offset + 1

    def release(self, stream_time: int) -> None:
        """Move the begin of the log past what is no longer needed; what lies before may be deleted after a commit."""
        while self._needed_until and self._needed_until[0][1] < stream_time:
            self.log_range = self._needed_until.popleft()[0] + 1, self.log_range[1]

    async def purge(self, admin: AIOKafkaAdminClient) -> None:
        """Delete what a commit has released of the log. Raises KafkaError."""
        if self.log is not None and (begin := self.released) > self._purged:
            await admin.delete_records({self.log: RecordsToDelete(before_offset=begin)})
            self._purged = begin

    async def restore(self, consumer: AIOKafkaConsumer, fold: Fold) -> Position | None:
        """Read both to their ends into `fold`; None where nothing was ever committed.

        `consumer` reads committed records, is used for nothing else and belongs to no group. The task's producer has
        been initialised before: no older transaction is open, so the end is the end. Raises ChangelogRefused when the
        changelog is not what this build, its settings and the topics allow.
        """
        self._latest = 0
        self._needed_until.clear()
        end = (await consumer.end_offsets([self.state]))[self.state]
        latest: dict[bytes, tuple[int, bytes]] = {}
        async for record in self._read(consumer, self.state, end):
            if record.value is None:
                latest.pop(record.key, None)
            else:
                latest[record.key] = record.offset, record.value
        self.end = end
        offset, value = latest.pop(POSITION, (-1, b""))
        if offset < 0:
            return None
        position = self.decode(value, offset)
        for key, (_, value) in latest.items():
            fold.restore(key, value)
        if self.log is not None:
            await self._restore_log(consumer, self.log, position, fold)
        position.asks = fold.restored(position.stream_time, position.counters)
        return position

    async def _restore_log(
        self, consumer: AIOKafkaConsumer, log: TopicPartition, position: Position, fold: Fold
    ) -> None:
        begin, end = (await consumer.beginning_offsets([log]))[log], (await consumer.end_offsets([log]))[log]
        self.check_log(position, begin, end)
        async for record in self._read(consumer, log, end):
            self.logged(record.offset, fold.restore_log(record.value))
        self.log_range = position.log[0], end

    async def _read(self, consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> AsyncIterator[Any]:
        """Give all records of `tp` before offset `end`."""
        consumer.assign([tp])
        try:
            await self._hold(Restoring(self.task, tp.topic, 0))
            await consumer.seek_to_beginning(tp)
            reached, vain = -1, 0
            while (position := await consumer.position(tp)) < end:
                vain = vain + 1 if position == reached else 0
                if vain > _VAIN:
                    raise KafkaTimeoutError(f"{tp.topic}, partition {tp.partition}: nothing comes after {position}")
                reached = position
                records = (await consumer.getmany(tp, timeout_ms=1000, max_records=_BATCH)).get(tp, ())
                await self._hold(Restoring(self.task, tp.topic, len(records)))
                for record in records:
                    yield record
                await asyncio.sleep(0)  # records at hand are given out at once: let the heartbeat have its turn
        finally:
            consumer.unsubscribe()  # else its waiting fetches would hold up every other request on the connection

    def decode(self, value: bytes, offset: int) -> Position:
        """Give the position in a record at this offset. Raises ChangelogRefused as `restore`."""
        record: dict[str, Any] = codec.loads(value)
        if record["format"] != FORMAT:
            raise self._refused(
                f"it was written in format {record['format']}, this version of npsflow knows {FORMAT}: "
                "start the version that wrote it, or run `npsflow rebuild`",
                offset,
            )
        if record["partitions"] != dict(self.partitions):
            raise self._refused(
                f"it was written for {record['partitions']} input partitions, now there are {dict(self.partitions)}: "
                "a changed count moves keys to other tasks; set the count back, or run `npsflow rebuild`",
                offset,
            )
        if record["rebuilding"] and not self.rebuilding:
            raise self._refused("a rebuild has not ended: run `npsflow rebuild` again", offset)
        if not self.rebuilding and record["settings"] != self.stage.fixed:
            raise self._refused(
                f"it was made with {record['settings']}, now there is {self.stage.fixed}: "
                "set that back, or run `npsflow rebuild`",
                offset,
            )
        begin, end = record["log"]
        counters = decode_counters(self.stage.counters, record["counters"])
        return Position(record["offsets"], record["stream_time"], counters, (begin, end))

    def check_log(self, position: Position, begin: int, end: int) -> None:
        """Compare with [begin, end) of the log. Raises ChangelogRefused where something that was written is gone."""
        if begin > position.log[0] or end < position.log[1]:
            raise self._refused(
                f"its log holds {begin} to {end} where {position.log[0]} to {position.log[1]} were written: "
                "records were deleted, or the topic was made anew; run `npsflow rebuild`"
            )

    def check(
        self,
        position: Position | None,
        committed: Mapping[str, int | None],
        begin: Mapping[str, int],
        end: Mapping[str, int],
    ) -> None:
        """Compare with the input, `committed` being what the group has; offsets by topic, without prefix.

        Raises ChangelogRefused when they do not fit.
        """
        for topic in self.stage.inputs:
            offset = None if position is None else position.offsets.get(topic)
            if offset is None:
                if committed[topic] is not None:
                    raise self._refused(
                        f"it is empty, but group {self.installation.group(self.stage.name)} has read {topic} up to "
                        f"{committed[topic]}: its records were deleted; run `npsflow rebuild`"
                    )
            elif offset > end[topic]:
                raise self._refused(
                    f"its position in {topic} is {offset}, but the topic holds {begin[topic]} to {end[topic]}: it was "
                    "made anew, or lost its end; run `npsflow rebuild`"
                )
            elif offset < begin[topic] and not self.accept_loss:
                raise self._refused(
                    f"its position in {topic} is {offset}, but the topic holds {begin[topic]} to {end[topic]}: records "
                    "were deleted before they were read; go on without them by `npsflow worker --accept-loss`, or run "
                    "`npsflow rebuild`"
                )

    def _refused(self, message: str, offset: int | None = None) -> ChangelogRefused:
        return ChangelogRefused(message, topic=self.state.topic, partition=self.partition, offset=offset)
