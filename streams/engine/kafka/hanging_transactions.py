"""Ends of transactions that a broker has decided and not written everywhere.

A coordinator that has decided to commit or abort writes a marker to every partition of the transaction. One that comes
back from a crash writes those that are missing, but leaves out partitions that have no leader at that moment (Kafka
4.3), and after a crash of all replicas at once none has one. Then the transaction counts as complete while some of its
records are hidden for ever, and with them all that follow, until the next transaction of the same producer there ends:
by a commit they appear, by an abort they are lost.

So the next owner of a task asks what was decided, and where something is still open, before it initialises its
producer, which forgets the decision. There it ends a transaction without records in the same way.

It can be killed, or lose the task to another, at any moment of that. So it keeps what was decided in the one field that
the coordinator stores with a producer and tells others: a producer that is to commit what is hidden is initialised with
the time-out `_COMMITTING`, and begins no other transaction. Whoever finds it carries that out.

A restarted coordinator must not let the last owner itself begin another transaction either: see guarded_producer.py.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    LeaderNotAvailableError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.abandoning import abandon
from npsflow.streams.engine.kafka.guarded_producer import TRANSACTION_TIMEOUT, GuardedProducer

_COMMITTING = 60.0
"""Seconds that an owner that died in the middle leaves to the next. Brokers allow 900 unless they are told less."""

_PAUSE = 0.1
_UNKNOWN = 105  # no such transactional id
_LATEST = -1
_UNCOMMITTED, _COMMITTED = 0, 1  # isolation levels


class _Last(NamedTuple):
    """The last transaction under a transactional id, and the producer that began it."""

    transactional_id: str
    producer: int
    epoch: int
    state: str
    timeout_ms: int

    @property
    def is_committing(self) -> bool:
        """Whether this producer was there only to commit what is hidden, and did not get to it."""
        return self.timeout_ms == _COMMITTING * 1000 and self.state in ("Empty", "Ongoing")

    @property
    def was_committed(self) -> bool:
        """Whether what it left hidden is to appear; else it is to be dropped, as what was never decided is."""
        return self.is_committing or self.state in ("PrepareCommit", "CompleteCommit")


async def settle(
    installation: Installation, client: Any, transactional_id: str, leaders: Mapping[TopicPartition, int]
) -> None:
    """End what the last transaction under this id has left open: as it was decided, else by an abort.

    `client` is an AIOKafkaClient; `leaders`: the brokers of all partitions that the transaction can have touched.
    Fences whoever has this id where something is open. Raises KafkaError; it can be called again then.
    """
    last = await _describe(client, transactional_id)
    if last is None or not (hidden := await find_open(client, leaders)):
        return
    if last.is_committing and last.state == "Ongoing":
        await _commit_as(client, last)  # else our producer would abort it
    timeout = _COMMITTING if last.was_committed else TRANSACTION_TIMEOUT
    producer = GuardedProducer(installation, transactional_id, timeout)
    try:
        await producer.start()
        # Until then the last owner may have written to others.
        hidden = sorted({*hidden, *await find_open(client, leaders)})
        await producer.end_empty_transaction(last.was_committed, hidden)
        await producer.release()
    finally:
        await abandon(producer)


async def _describe(client: Any, transactional_id: str) -> _Last | None:
    response = await _ask(client, transactional_id, _Describe(transactional_id))
    (code, _, state, timeout_ms, _, producer, epoch, *_), *_ = response.transaction_states
    if code == _UNKNOWN:
        return None
    _check(code, f"cannot describe transaction {transactional_id}")
    return _Last(transactional_id, producer, epoch, state, timeout_ms)


async def _commit_as(client: Any, last: _Last) -> None:
    """Commit in the name of a producer that is gone. It may be there still: it would do the same."""
    request = EndTxnRequest(last.transactional_id, last.producer, last.epoch, True)
    response = await _ask(client, last.transactional_id, request)
    _check(response.error_code, f"cannot commit transaction {last.transactional_id}")


async def _ask(client: Any, transactional_id: str, request: Any) -> Any:
    """Ask the coordinator of this id. A cluster has none until it is asked for, or until it has read its log."""
    while True:
        try:
            # No time-out of ours: the client's own renews a connection that has gone silent.
            coordinator = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            response = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
        except _NO_COORDINATOR:
            pass
        else:
            if for_code(_code(response)) not in _NO_COORDINATOR:
                return response
        await asyncio.sleep(_PAUSE)


_NO_COORDINATOR = CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError


def _code(response: Any) -> int:
    return int(response.transaction_states[0][0] if isinstance(response, _DescribeResponse) else response.error_code)


async def find_open(client: Any, leaders: Mapping[TopicPartition, int], patience: float = 0.0) -> list[TopicPartition]:
    """Give the partitions in which some transaction is open, be it of another producer. Raises KafkaError.

    `leaders`: the broker of each partition, -1 for none. `patience`: seconds in which it may end.
    """
    nodes = set(leaders.values())
    if -1 in nodes:
        raise LeaderNotAvailableError
    asked = {node: [tp for tp, leader in leaders.items() if leader == node] for node in nodes}
    found = await asyncio.gather(*(_find_open_on(client, node, some, patience) for node, some in asked.items()))
    return [tp for some in found for tp in some]


async def _find_open_on(
    client: Any, node: int, partitions: list[TopicPartition], patience: float
) -> list[TopicPartition]:
    until = monotonic() + patience
    ends = await _ends(client, node, partitions, _UNCOMMITTED)
    while True:
        stable = await _ends(client, node, partitions, _COMMITTED)
        partitions = [tp for tp in partitions if stable[tp] < ends[tp]]
        if not partitions or monotonic() >= until:
            return partitions
        await asyncio.sleep(_PAUSE)


async def _ends(client: Any, node: int, partitions: list[TopicPartition], isolation: int) -> dict[TopicPartition, int]:
    topics = dict[str, list[tuple[int, int]]]()
    for tp in partitions:
        topics.setdefault(tp.topic, []).append((tp.partition, _LATEST))
    response = await client.send(node, OffsetRequest(-1, isolation, list(topics.items())))
    ends = dict[TopicPartition, int]()
    for topic, parts in response.topics:
        for partition, code, _, end in parts:
            _check(code, topic)
            ends[TopicPartition(topic, partition)] = end
    return ends


def _check(code: int, context: str) -> None:
    if code:
        raise for_code(code)(context)


class _DescribeResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 65, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("transaction_state", CompactString("utf-8")),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = 65, 0
    RESPONSE_TYPE = _DescribeResponse
    SCHEMA = Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields))


class _Describe(Request[_DescribeRequest]):  # type: ignore[misc]
    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._id = transactional_id

    def build(self, request_struct_class: type[_DescribeRequest]) -> _DescribeRequest:
        return request_struct_class([self._id], {})
