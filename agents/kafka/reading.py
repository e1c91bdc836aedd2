"""Topics read to their end, the last value of each key, and how far a group has read."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import absent
from npsflow.agents.kafka.renewed_consumer import renewed_consumer
from npsflow.schemas import codec
from npsflow.schemas.topics import changelog
from npsflow.streams.engine.changelog import POSITION
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeTopics
from npsflow.streams.stage import Record

_FETCH_RECORDS = 500
_TAIL = 100

Progress = Callable[[int, int], None]
"""Called with how many records were read, and of how many."""


class Latest(NamedTuple):
    """The last value of a key, and the partition it is in."""

    partition: int
    value: bytes


async def partitions(installation: Installation, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, given without prefix. Raises KafkaFailed when it does not exist."""
    name = installation.topic(topic)
    async with clients.client(installation) as client:
        ((code, _, _, parts, _),) = (await client.send(client.get_random_node(), DescribeTopics([name]))).topics
    if code == UnknownTopicOrPartitionError.errno:
        raise absent(name)
    if code:
        raise for_code(code)(name)
    return [TopicPartition(name, partition) for partition in range(len(parts))]


async def offset_ranges(consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """[begin, end) of each partition, as far as the consumer may read; it is left with them assigned and paused."""
    consumer.assign(tps)  # else it asks for the leaders of one topic after another, 0.1 s each
    consumer.pause(*tps)
    begin, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    return {tp: (begin[tp], end[tp]) for tp in tps}


async def committed_records(
    installation: Installation,
    topic: str,
    *,
    follow: bool = False,
    last: int | None = None,
    since: int = 0,
    at_end: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Record, None]:
    """All committed records of a topic (without prefix), from the beginning to where it ends now, oldest first.

    Within a partition their order is kept. With `follow` it goes on with what is written later, after a call of
    `at_end`; with `last` it begins so many offsets before the end of each partition, with `since` at what was appended
    then (ms) or later. A loop that may be left early needs `contextlib.aclosing`.
    """
    tps = await partitions(installation, topic)
    async with renewed_consumer(installation) if follow else clients.reader(installation) as consumer:
        ranges = await offset_ranges(consumer, tps)
        for tp, begin in (await _beginnings(consumer, ranges, last, since)).items():
            consumer.seek(tp, begin)
        consumer.resume(*tps)
        async for record in _merged(consumer, {tp: end for tp, (_, end) in ranges.items()}, keep_later=follow):
            yield record
        at_end()
        while follow:
            fetched = await consumer.getmany(timeout_ms=1000)
            for record in sorted(chain.from_iterable(fetched.values()), key=attrgetter("timestamp")):
                yield record


async def offsets_since(consumer: AIOKafkaConsumer, tps: list[TopicPartition], since: int) -> dict[TopicPartition, int]:
    """Of each partition the offset of the first record appended at `since` (ms) or later, else its end."""
    found = await consumer.offsets_for_times(dict.fromkeys(tps, since))
    ends = await consumer.end_offsets(tps)
    return {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in tps}


async def _beginnings(
    consumer: AIOKafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]], last: int | None, since: int
) -> dict[TopicPartition, int]:
    at_time = await offsets_since(consumer, list(ranges), since) if since else {}
    return {
        tp: max(begin, at_time.get(tp, begin), begin if last is None else end - last)
        for tp, (begin, end) in ranges.items()
    }


async def to_the_end(
    consumer: AIOKafkaConsumer, tps: list[TopicPartition], progress: Progress | None = None, since: int | None = None
) -> AsyncGenerator[Record, None]:
    """All committed records of these partitions up to where they end now, as they are fetched: faster than in order.

    The order within each partition is kept. The consumer goes on behind them. `since` (ms): not those appended before.
    """
    ranges = await offset_ranges(consumer, tps)
    if since is not None:
        begins = await offsets_since(consumer, tps, since)
        ranges = {tp: (begins[tp], end) for tp, (_, end) in ranges.items()}
    async for records in batches_between(consumer, ranges, progress):
        for record in records:
            yield record


async def batches_to_the_end(
    consumer: AIOKafkaConsumer, tps: list[TopicPartition], progress: Progress | None = None
) -> AsyncGenerator[Sequence[Record], None]:
    """The same, many at once: a fifth faster where there are very many."""
    async for records in batches_between(consumer, await offset_ranges(consumer, tps), progress):
        yield records


async def batches_between(
    consumer: AIOKafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]], progress: Progress | None = None
) -> AsyncGenerator[Sequence[Record], None]:
    """Committed records from begin to end of each partition, all of them assigned; perhaps some from behind as well."""
    total, ends = sum(end - begin for begin, end in ranges.values()), {tp: end for tp, (_, end) in ranges.items()}
    for tp, (begin, _) in ranges.items():
        consumer.seek(tp, begin)
    consumer.resume(*ranges)
    while left := sum([max(0, end - await consumer.position(tp)) for tp, end in ends.items()]):
        if progress is not None:
            progress(total - left, total)
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            yield records


async def _merged(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], *, keep_later: bool
) -> AsyncIterator[Record]:
    """All records before the ends, by timestamp; with `keep_later` also those from behind that came with them."""
    unread: dict[TopicPartition, deque[Any]] = {tp: deque() for tp in ends}
    while unread:
        # The oldest is known once each partition shows its next record or its end.
        for tp in [tp for tp, records in unread.items() if not records]:
            if await consumer.position(tp) >= ends[tp]:
                del unread[tp]
        if empty := [tp for tp, records in unread.items() if not records]:
            fetched = await consumer.getmany(*empty, timeout_ms=1000, max_records=_FETCH_RECORDS)
            for tp, records in fetched.items():
                unread[tp].extend(r for r in records if keep_later or r.offset < ends[tp])
        elif unread:
            yield min(unread.values(), key=_next_timestamp).popleft()


def _next_timestamp(records: deque[Any]) -> int:
    timestamp: int = records[0].timestamp
    return timestamp


async def latest_by_key(records: AsyncIterable[Record]) -> dict[bytes, Latest]:
    """The last value of each key, in the order in which they were written; without keys whose last value is null."""
    latest: dict[bytes, Latest] = {}
    async for record in records:
        if record.key is not None:
            latest.pop(record.key, None)
            if record.value is not None:
                latest[record.key] = Latest(record.partition, record.value)
    return latest


async def committed_offsets(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """What a group has committed; waits for a coordinator, which a new cluster has only once it is asked for."""
    async with asyncio.timeout(clients.PATIENCE):
        while True:
            try:
                offsets: dict[TopicPartition, OffsetAndMetadata] = await client.list_consumer_group_offsets(group)
                return offsets
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(0.1)


async def lag(
    consumer: AIOKafkaConsumer, tps: list[TopicPartition], committed: Mapping[TopicPartition, OffsetAndMetadata]
) -> int:
    """Records in these partitions from the committed offsets, or else the beginning, to where the consumer may read.

    Ask for `committed` before: the answer is then never behind the ends that are found here.
    """
    ranges = await offset_ranges(consumer, tps)
    reached = {tp: committed[tp].offset if tp in committed else 0 for tp in tps}
    return sum(max(0, end - max(begin, reached[tp])) for tp, (begin, end) in ranges.items())


async def positions(installation: Installation, stage: str) -> list[dict[str, Any]]:
    """The newest position record of each task of a stage that has committed: see streams/engine/changelog.py."""
    return list((await positions_by_partition(installation, stage)).values())


async def positions_by_partition(installation: Installation, stage: str) -> dict[int, dict[str, Any]]:
    """The same by partition of the stage's input."""
    newest = await position_records(installation, stage)
    return {partition: codec.loads(record.value or b"") for partition, record in newest.items()}


async def position_records(installation: Installation, stage: str) -> dict[int, Record]:
    """The records of these positions, by partition."""
    missing, newest = await partitions(installation, changelog(stage, "state")), dict[int, Record]()
    async with clients.reader(installation) as consumer:
        for last in (_TAIL, None):  # each commit ends with its position: only many aborted ones put it further back
            ranges = await offset_ranges(consumer, missing)
            if last is not None:
                ranges = {tp: (max(begin, end - last), end) for tp, (begin, end) in ranges.items()}
            async for records in batches_between(consumer, ranges):
                newest |= {record.partition: record for record in records if record.key == POSITION and record.value}
            if not (missing := [tp for tp in missing if tp.partition not in newest]):
                break
    return newest


async def counters(installation: Installation, stage: str) -> Counter[str]:
    """What all tasks of a stage have counted since their state began, by the names in the changelog."""
    total: Counter[str] = Counter()
    for position in await positions(installation, stage):
        total.update(position["counters"])
    return total
