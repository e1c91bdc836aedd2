"""What npsflow touches of the inside of aiokafka is there, and does what is relied on."""

import ast
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from npsflow.streams.engine import kafka
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka import TOUCHED, Touch, clients
from npsflow.streams.engine.kafka.bare_records import BareRecord, give_bare_records
from npsflow.streams.engine.kafka.guarded_producer import GuardedProducer
from npsflow.streams.engine.kafka.record_batch import RecordBatch

NOWHERE = Installation(brokers="127.0.0.1:1")
TP = TopicPartition("t", 0)
MODULES = sorted(Path(kafka.__file__).parent.glob("*.py"))


@pytest.fixture
async def producer() -> AsyncIterator[GuardedProducer]:
    """Never started."""
    producer = GuardedProducer(NOWHERE, "t.id", 10.0)
    yield producer
    await producer.stop()


@pytest.fixture
async def owners() -> AsyncIterator[dict[str, Any]]:
    """One of each class, as aiokafka makes them, and never started."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="t.id")
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    admin, connection = AIOKafkaAdminClient(bootstrap_servers="127.0.0.1:1"), AIOKafkaConnection("127.0.0.1", 1)
    every = [producer, producer.client, consumer, admin, connection]
    (manager,) = (value for value in vars(producer).values() if type(value).__name__ == "TransactionManager")
    manager.set_pid_and_epoch(1, 0)
    manager.begin_transaction()
    accumulator = next(value for value in vars(producer).values() if type(value).__name__ == "MessageAccumulator")
    fetcher = Fetcher(consumer._client, subscriptions := SubscriptionState())
    group = GroupCoordinator(consumer._client, subscriptions)
    others = NoGroupCoordinator(consumer._client, subscriptions)
    batch = MessageBatch(TP, producer.create_batch(), 1, 0)
    writer = _DefaultRecordBatchBuilderPy(2, 0, 1, -1, -1, 0, 0)
    records = PartitionRecords(TP, MemoryRecords(b""), None, 0, None, None, True, 1)
    result = FetchResult(TP, assignment=None, partition_records=records, backoff=0)
    every += [manager, accumulator, fetcher, group, others, batch, writer, records, result]
    yield {type(one).__name__: one for one in every}
    await fetcher.close()
    await group.close()
    await others.close()
    await producer.stop()
    await consumer.stop()


@pytest.mark.parametrize("touch", TOUCHED, ids=lambda touch: f"{touch.owner}.{touch.name}")
async def test_a_touched_name_is_there_as_it_was(touch: Touch, owners: dict[str, Any]) -> None:
    touched = getattr(owners[touch.owner], touch.name)
    if inspect.isroutine(touched):
        assert ",".join(inspect.signature(touched).parameters) == touch.kind
    else:
        assert type(touched).__name__ == touch.kind


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_touch_of_a_private_name_is_listed(module: Path) -> None:
    listed = {touch.name for touch in TOUCHED if touch.module == module.stem and touch.name.startswith("_")}
    assert private_names(ast.parse(module.read_text())) == listed


def private_names(tree: ast.Module) -> set[str]:
    """Private attributes that are read or set, but for those of our own classes."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    own = {
        node.attr
        for node in attributes
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {node.attr for node in attributes if not node.attr.endswith("__")} - own


def test_a_touch_that_is_not_listed_is_found() -> None:
    assert private_names(ast.parse("consumer._fetcher.close()\nself._own = self._own")) == {"_fetcher"}


async def test_what_could_not_be_added_to_a_transaction_is_not_sent(producer: GuardedProducer) -> None:
    """aiokafka would send it as a part of no transaction, or of the one before."""
    manager = producer._txn_manager
    manager.set_pid_and_epoch(1, 0)
    await producer.begin_transaction()
    batch = producer.create_batch()
    batch.append(timestamp=0, key=None, value=b"v", headers=[])
    producer.client.add_topic("t")
    delivery = await producer._message_accumulator.add_batch(batch, TP, 1.0)
    assert manager.partitions_to_add() == {TP}
    error = TopicAuthorizationFailedError("t")
    manager.error_transaction(error)
    with pytest.raises(TopicAuthorizationFailedError):
        await delivery
    assert not producer._message_accumulator._batches.get(TP)
    assert manager.partitions_to_add() == set()
    with pytest.raises(TopicAuthorizationFailedError):
        await producer.commit_transaction()


async def test_a_request_that_fails_is_noted(producer: GuardedProducer) -> None:
    assert not producer.failed
    with pytest.raises(KafkaError):
        await producer.client.send(0, None)
    assert producer.failed


async def test_the_sender_uses_the_client_whose_method_is_replaced(producer: GuardedProducer) -> None:
    (sender,) = (value for value in vars(producer).values() if type(value).__name__ == "Sender")
    assert sender.client is producer.client


async def test_a_consumer_gives_bare_records_of_whatever_it_fetches() -> None:
    """What it asks and how it moves on is aiokafka's: only what it makes of a parsed record is another thing."""
    consumer, subscriptions = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1"), SubscriptionState()
    batch = RecordBatch("zstd", 1000, transactional=False)
    for number in range(3):
        batch.append(timestamp=5, key=None, value=b"%d" % number, headers=[("h", b"x")])
    subscriptions.assign_from_user([TP])
    assignment = subscriptions.subscription.assignment
    assignment.state_value(TP).seek(1)

    async def answer(node_id: int, request: Any) -> Any:
        part: tuple[Any, ...] = 0, 0, 3, 3, [], bytes(batch._build())
        return SimpleNamespace(API_VERSION=4, topics=[("t", [part])])

    consumer._fetcher = Fetcher(consumer._client, subscriptions)
    consumer._client.send = answer
    give_bare_records(consumer)
    assert await consumer._fetcher._proc_fetch_request(assignment, 0, SimpleNamespace(topics=[("t", [(0, 1, 0)])]))
    taken = [await consumer._fetcher.fetched_records([TP], max_records=1) for _ in range(3)]
    headers = [("h", b"x")]
    assert taken == [{TP: [BareRecord("t", 0, n, 5, None, b"%d" % n, headers)]} for n in (1, 2)] + [{}]
    assert assignment.state_value(TP).position == 3
    await consumer._fetcher.close()
    await consumer.stop()


async def test_a_consumer_for_changelogs_outwaits_its_client() -> None:
    reader, other = clients.changelog_consumer(NOWHERE), AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    assert reader._request_timeout_ms == 2 * other._request_timeout_ms
    assert isinstance(clients.client_of(reader), AIOKafkaClient)
    assert clients.client_of(reader)._request_timeout_ms == other._request_timeout_ms
    await reader.stop()
    await other.stop()
