"""What commands need of Kafka: clients that start in time or say why not, and topics read to their end."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.kafka.diagnosis import KafkaFailed as KafkaFailed
from npsflow.agents.kafka.diagnosis import Refused, why_not
from npsflow.schemas import codec
from npsflow.schemas.topics import MAX_RECORD, changelog
from npsflow.streams.engine.changelog import POSITION
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeTopics
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Record

PATIENCE = 8.0
"""Seconds within which a broker has to answer."""

ALLOW = "allow it with kafka-acls; deploy/acls.md has all that is needed"
_ABSENT = "topic {} does not exist: run `npsflow topics create`, or check NPSFLOW_PREFIX"

_METADATA_AGE = 30_000
"""Milliseconds until a client asks anew which broker leads what. After brokers came back one was seen to wait for an
answer that nobody had asked for: aiokafka's default would be five minutes of that."""

_FETCH_WAIT = 100  # ms; a broker answers one request of a connection at a time, all others wait behind a fetch
_FETCH_RECORDS = 500
_BATCH = 1 << 20
_TAIL = 100
_FORBIDDEN = {
    TopicAuthorizationFailedError: "a topic",
    GroupAuthorizationFailedError: "a consumer group",
    TransactionalIdAuthorizationFailed: "a transactional id",
    ClusterAuthorizationFailedError: "the cluster",
}
FORBIDDEN = tuple(_FORBIDDEN)
"""Errors of what `forbidden` names."""

Progress = Callable[[int, int], None]
"""Called with how many records were read, and of how many."""

T = TypeVar("T")
Step = Callable[[], Coroutine[Any, Any, None]]


def client_settings(installation: Installation) -> dict[str, Any]:
    """Keyword arguments of every Kafka client; the password is among them. Raises SettingsError for unusable files."""
    security = installation.security
    settings: dict[str, Any] = {
        "bootstrap_servers": installation.brokers,
        "security_protocol": security.protocol,
        "ssl_context": security.context(),
        "metadata_max_age_ms": _METADATA_AGE,
    }
    if security.login:
        settings |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password.reveal(),
        }
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a command. Raises KafkaFailed for whatever Kafka's client raises."""
    try:
        return asyncio.run(work)
    except FORBIDDEN as error:
        raise forbidden(error) from error
    except UnknownTopicOrPartitionError as error:
        raise KafkaFailed(_ABSENT.format(error.args[0] if error.args else "")) from error
    except (KafkaError, TimeoutError) as error:
        raise KafkaFailed(f"Kafka: {str(error) or 'no answer in time'}") from error


def forbidden(error: KafkaError) -> Refused:
    """What Kafka did not allow, as far as its client knows it."""
    about = error.args[0] if error.args else "it does not say which"
    named = ", ".join(sorted(about)) if isinstance(about, set | frozenset) else str(about)
    return Refused("permission", f"this client may not use {_FORBIDDEN[type(error)]} ({named})", ALLOW)


@asynccontextmanager
async def client(installation: Installation) -> AsyncIterator[AIOKafkaClient]:
    """A client for single requests."""
    client = AIOKafkaClient(**client_settings(installation))
    async with _started(client.bootstrap, client.close, installation):
        yield client


@asynccontextmanager
async def admin(installation: Installation) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks about topics and groups, and makes topics."""
    client = AIOKafkaAdminClient(**client_settings(installation))
    async with _started(client.start, client.close, installation):
        yield client


@asynccontextmanager
async def reader(
    installation: Installation, group: str | None = None, session_ms: int = 10_000
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of committed records; with a `group` it can commit offsets for it, and never on its own.

    `session_ms`: once it subscribes, the group notices its death after this time.
    """
    consumer = AIOKafkaConsumer(
        **client_settings(installation), group_id=group, enable_auto_commit=False, isolation_level="read_committed",
        auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=_FETCH_WAIT,
        session_timeout_ms=session_ms, heartbeat_interval_ms=max(100, session_ms // 4),
        partition_assignment_strategy=(RangePartitionAssignor,),  # equal partitions of two topics go together
    )  # fmt: skip
    async with _started(consumer.start, consumer.stop, installation):
        yield consumer


@asynccontextmanager
async def producer(installation: Installation, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer that waits for all replicas; with an id, for transactions."""
    client = AIOKafkaProducer(
        **client_settings(installation), acks="all", enable_idempotence=True, transactional_id=transactional_id,
        max_batch_size=_BATCH, max_request_size=MAX_RECORD, compression_type="zstd",
    )  # fmt: skip
    async with _started(client.start, client.stop, installation):
        yield client


@asynccontextmanager
async def _started(start: Step, stop: Step, installation: Installation) -> AsyncIterator[None]:
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                await start()
        except (KafkaConnectionError, TimeoutError) as error:
            text = f"no Kafka broker answers at {installation.brokers} in time"
            raise await why_not(installation) or Refused("reach", text, "look into its log, and try again") from error
        try:
            yield
        except NodeNotReadyError as error:  # it answered, and named brokers that do not
            raise await why_not(installation) or error from error
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await stop()


async def partitions(installation: Installation, topic: str) -> list[TopicPartition]:
    """Those of a topic, given without prefix. Raises KafkaFailed where it does not exist."""
    name = installation.topic(topic)
    async with client(installation) as asking:
        ((code, _, _, parts, _),) = (await asking.send(asking.get_random_node(), DescribeTopics([name]))).topics
    if code == UnknownTopicOrPartitionError.errno:
        raise KafkaFailed(_ABSENT.format(name))
    if code:
        raise for_code(code)(name)
    return [TopicPartition(name, partition) for partition in range(len(parts))]


async def offset_ranges(consumer: AIOKafkaConsumer, of: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """[begin, end) of what is committed in each partition, which the consumer is left with, paused."""
    consumer.assign(of)  # else it asks for the leaders of one topic after another, 0.1 s each
    consumer.pause(*of)
    begin, end = await consumer.beginning_offsets(of), await consumer.end_offsets(of)
    return {tp: (begin[tp], end[tp]) for tp in of}


async def committed_records(
    installation: Installation, topic: str, *, follow: bool = False, last: int | None = None
) -> AsyncGenerator[Record, None]:
    """All committed records of a topic (without prefix), from the beginning to where it ends now, oldest first.

    Within a partition their order is kept. With `follow` it goes on with what is written later; with `last` it begins
    so many offsets before the end of each partition. A loop that may be left early needs `contextlib.aclosing`.
    """
    of = await partitions(installation, topic)
    async with reader(installation) as consumer:
        ranges = await offset_ranges(consumer, of)
        for tp, (begin, end) in ranges.items():
            consumer.seek(tp, begin if last is None else max(begin, end - last))
        consumer.resume(*of)
        async for record in _merged(consumer, {tp: end for tp, (_, end) in ranges.items()}, keep_later=follow):
            yield record
        while follow:
            fetched = await consumer.getmany(timeout_ms=1000)
            for record in sorted(chain.from_iterable(fetched.values()), key=attrgetter("timestamp")):
                yield record


async def to_the_end(
    consumer: AIOKafkaConsumer, of: list[TopicPartition], progress: Progress | None = None
) -> AsyncGenerator[Record, None]:
    """All committed records of these partitions up to where they end now, as they are fetched: faster than in order.

    The order within each partition is kept. The consumer goes on behind them.
    """
    ranges = await offset_ranges(consumer, of)
    total, ends = sum(end - begin for begin, end in ranges.values()), {tp: end for tp, (_, end) in ranges.items()}
    for tp, (begin, _) in ranges.items():
        consumer.seek(tp, begin)
    consumer.resume(*of)
    while left := sum([max(0, end - await consumer.position(tp)) for tp, end in ends.items()]):
        if progress is not None:
            progress(total - left, total)
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                yield record


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


async def committed_offsets(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """What a group has committed; waits for a coordinator, which a new cluster has only once it is asked for."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                offsets: dict[TopicPartition, OffsetAndMetadata] = await client.list_consumer_group_offsets(group)
                return offsets
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(0.1)


async def positions(installation: Installation, stage: str) -> list[dict[str, Any]]:
    """The newest position record of each task of a stage that has committed: see streams/engine/changelog.py."""
    return list((await positions_by_partition(installation, stage)).values())


async def positions_by_partition(installation: Installation, stage: str) -> dict[int, dict[str, Any]]:
    """The same by partition of the stage's input."""
    topic = changelog(stage, "state")
    tasks = len(await partitions(installation, topic))
    newest: dict[int, bytes] = {}
    for last in (_TAIL, None):  # each commit ends with its position: only many aborted ones put it further back
        if len(newest) < tasks:
            async for record in committed_records(installation, topic, last=last):
                if record.key == POSITION and record.value:
                    newest[record.partition] = record.value
    return {partition: codec.loads(value) for partition, value in newest.items()}


async def counters(installation: Installation, stage: str) -> Counter[str]:
    """What all tasks of a stage have counted since their state began."""
    total: Counter[str] = Counter()
    for position in await positions(installation, stage):
        total.update(position["counters"])
    return total


async def deliver(client: AIOKafkaProducer, outputs: Outputs) -> None:
    """Send what was collected and wait until all of it is acknowledged."""
    batches = outputs.take()
    await asyncio.gather(*[await client.send_batch(batch, tp.topic, partition=tp.partition) for tp, batch in batches])
