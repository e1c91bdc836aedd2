"""Consumer groups as they are: of which kind, who is in them, how far they have read; and transactions that are open.

Who may not ask, or asks an older broker, hears nothing.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.protocol import DescribeProducers, DescribeShareGroup, ListTransactions
from npsflow.streams.engine.kafka.protocol import DescribeGroup

SHARE = "share"
"""The kind of groups that commit no offsets; all others may: of consumers, of Kafka Streams, of whatever comes."""

_GROUP = 0
_GROUP_CONFIG = 32  # a resource of which aiokafka knows nothing
_ISOLATION = "share.isolation.level"
_NEAR = 50  # offsets of a partition that are worth looking into


class Member(NamedTuple):
    """One consumer in a group; `instance` is its static name, "" without one."""

    id: str
    instance: str
    host: str


class Lag(NamedTuple):
    """How far a group has still to read."""

    records: int
    """That it can read, or that wait behind an open transaction."""
    empty: int = 0
    """Offsets behind it that hold nothing to read: ends of transactions, and what was aborted."""
    committed: int = 0
    """The sum of its offsets."""
    untouched: int = 0
    """Partitions with records in which it has committed nothing."""
    untouched_records: int = 0


class OpenTransaction(NamedTuple):
    """A transaction behind whose first record nobody reads who reads committed records only."""

    tp: TopicPartition
    waiting: int
    producer: int
    transactional_id: str
    written_at: int
    """When its producer wrote last, in ms."""


async def members(client: AIOKafkaClient, group: str) -> list[Member] | None:
    """Who is in a group of consumers now; None where that is not known."""
    try:
        node = await client.coordinator_lookup(_GROUP, group)
        ((code, _, _, _, _, found, _),) = (await client.send(node, DescribeGroup(group))).groups
    except KafkaError:
        return None
    return None if code else [Member(id_, instance or "", host.lstrip("/")) for id_, instance, _, host, *_ in found]


async def lag(
    committed: Mapping[TopicPartition, int],
    tps: Iterable[TopicPartition],
    ends: AIOKafkaConsumer,
    reader: AIOKafkaConsumer,
) -> Lag:
    """The lag of a group that has `committed`, in these partitions; `ends` reads uncommitted records, `reader` not.

    Ask for `committed` before: the answer is then never behind the ends that are found here.
    """
    ranges = await reading.offset_ranges(ends, sorted(tps))
    stable = await reading.offset_ranges(reader, sorted(ranges))
    unread = {tp: (max(begin, committed.get(tp, 0)), end) for tp, (begin, end) in ranges.items()}
    untouched = {tp: end - begin for tp, (begin, end) in unread.items() if tp not in committed and begin < end}
    behind = {tp: (at, end) for tp, (at, end) in unread.items() if tp in committed and at < end}
    near = {tp: (at, stable[tp][1]) for tp, (at, end) in behind.items() if end - at <= _NEAR and at < stable[tp][1]}
    empty = sum(end - at for at, end in near.values()) - await _count(reader, near)
    records = sum(end - at for at, end in behind.values()) - empty
    return Lag(
        records, empty, sum(committed[tp] for tp in unread if tp in committed), len(untouched), sum(untouched.values())
    )


async def _count(reader: AIOKafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]]) -> int:
    """Records that can be read in these ranges of offsets; all of them, where this client may not read."""
    if not ranges:
        return 0
    reader.assign(list(ranges))
    for tp, (begin, _) in ranges.items():
        reader.seek(tp, begin)
    count = 0
    try:
        while any([await reader.position(tp) < end for tp, (_, end) in ranges.items()]):
            for tp, records in (await reader.getmany(timeout_ms=200)).items():
                count += sum(record.offset < ranges[tp][1] for record in records)
    except TopicAuthorizationFailedError:
        return sum(end - begin for begin, end in ranges.values())
    return count


async def open_transactions(
    client: AIOKafkaClient, tps: list[TopicPartition], ends: AIOKafkaConsumer, reader: AIOKafkaConsumer
) -> list[OpenTransaction]:
    """Those that hold up readers of these partitions, one for each producer and partition."""
    high, stable = await ends.end_offsets(tps), await reader.end_offsets(tps)
    found = []
    if held := [tp for tp in tps if high[tp] > stable[tp]]:
        cluster = await client.fetch_all_metadata()
        for tp in held:
            with suppress(KafkaError):
                answer = await client.send(cluster.leader_for_partition(tp), DescribeProducers(tp))
                ((_, ((_, _, _, producers, _),), _),) = answer.topics
                for producer, _, _, written_at, _, begin, _ in producers:
                    if begin >= 0:
                        name = await _transactional_id(client, producer)
                        found.append(OpenTransaction(tp, high[tp] - stable[tp], producer, name, written_at))
    return found


async def _transactional_id(client: AIOKafkaClient, producer: int) -> str:
    """Under which a producer writes; "" where this client may not ask."""
    for broker in client.cluster.brokers():
        with suppress(KafkaError):
            for name, *_ in (await client.send(broker.nodeId, ListTransactions(producer))).transaction_states:
                return str(name)
    return ""


async def share_group_reads(client: AIOKafkaClient, group: str) -> set[str]:
    """Which topics a share group reads, also before it has acknowledged anything: until then it has no offsets."""
    try:
        node = await client.coordinator_lookup(_GROUP, group)
        answer = await client.send(node, DescribeShareGroup(group))
    except KafkaError:
        return set()
    return {topic for _, topics, *_ in answer.groups for topic, *_ in topics or ()}


async def share_isolation(admin: AIOKafkaAdminClient, group: str) -> str:
    """What a share group is handed: `read_committed`, or `read_uncommitted`; "" where that is not known."""
    resource = ConfigResource(ConfigResourceType.TOPIC, group)
    resource.resource_type = _GROUP_CONFIG
    with suppress(KafkaError):
        for response in await admin.describe_configs([resource]):
            for *_, entries in response.resources:
                return next((value for key, value, *_ in entries if key == _ISOLATION), "")
    return ""
