"""Ends of transactions that a broker has decided and not written everywhere.

A coordinator that has decided to commit or abort writes a marker to every partition of the transaction. One that comes
back from a crash writes those that are missing, but leaves out partitions that have no leader at that moment (Kafka
4.3), and after a crash of all replicas at once none has one. Then the transaction counts as complete while some of its
records are hidden for ever, and with them all that follow, until the next transaction of the same producer there ends:
by a commit they appear, by an abort they are lost.

So the next owner asks what was decided before it initialises its producer, which forgets that, and then ends a
transaction without records in the same way, on every partition that the last one may have touched.
"""

import asyncio
from typing import Any

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_PAUSE = 0.1
_UNKNOWN = 105  # no such transactional id

_DECIDED = {"PrepareCommit": True, "CompleteCommit": True, "PrepareAbort": False, "CompleteAbort": False}


async def find_decision(client: Any, transactional_id: str) -> bool | None:
    """Whether the last transaction under this id was to be committed or aborted; None if it is open or there is none.

    `client` is an AIOKafkaClient. Raises KafkaError.
    """
    while True:
        try:
            # No time-out of ours: the client's own renews a connection that has gone silent.
            return await _ask(client, transactional_id)
        except (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError):
            await asyncio.sleep(_PAUSE)  # a cluster has none until it is asked for, or until it has read its log


async def _ask(client: Any, transactional_id: str) -> bool | None:
    coordinator = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    request = _Describe(transactional_id)
    response = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    (code, _, state, *_), *_ = response.transaction_states
    if code and code != _UNKNOWN:
        raise for_code(code)(f"cannot describe transaction {transactional_id}")
    return _DECIDED.get(state)


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
