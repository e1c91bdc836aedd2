"""Requests that aiokafka lacks, about groups and transactions of others.

https://kafka.apache.org/protocol: DescribeProducers 0, ListTransactions 0, DescribeShareGroupOffsets 0. They change
nothing, and need no permission but to describe (of producers, to read).
"""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_TEXT, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)


class _ProducersResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 61, 0
    _PRODUCER = CompactArray(
        ("producer_id", Int64), ("producer_epoch", Int32), ("last_sequence", Int32), ("last_timestamp", Int64),
        ("coordinator_epoch", Int32), ("current_txn_start_offset", Int64), _TAGS,
    )  # fmt: skip
    _PARTITION = CompactArray(
        ("partition", Int32), ("error_code", Int16), ("error_message", _TEXT), ("active_producers", _PRODUCER), _TAGS
    )
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("topics", CompactArray(("name", _TEXT), ("partitions", _PARTITION), _TAGS)), _TAGS
    )


class _ProducersRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = 61, 0
    RESPONSE_TYPE = _ProducersResponse
    SCHEMA = Schema(("topics", CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)), _TAGS)


class DescribeProducers(Request[_ProducersRequest]):  # type: ignore[misc]
    """Describes who writes to a partition. To be sent to its leader."""

    API_KEY = 61

    def __init__(self, tp: TopicPartition) -> None:
        self._tp = tp

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request([(self._tp.topic, [self._tp.partition], {})], {})


class _TransactionsResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 66, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(_TEXT)),
        ("transaction_states", CompactArray(("id", _TEXT), ("producer_id", Int64), ("state", _TEXT), _TAGS)),
        _TAGS,
    )


class _TransactionsRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = 66, 0
    RESPONSE_TYPE = _TransactionsResponse
    SCHEMA = Schema(("state_filters", CompactArray(_TEXT)), ("producer_id_filters", CompactArray(Int64)), _TAGS)


class ListTransactions(Request[_TransactionsRequest]):  # type: ignore[misc]
    """Lists the transactions of one producer of which the broker that is asked is the coordinator."""

    API_KEY = 66

    def __init__(self, producer: int) -> None:
        self._producer = producer

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request([], [self._producer], {})


class _ShareOffsetsResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 90, 0
    _PARTITION = CompactArray(
        ("partition", Int32), ("start_offset", Int64), ("leader_epoch", Int32), ("error_code", Int16),
        ("error_message", _TEXT), _TAGS,
    )  # fmt: skip
    _TOPIC = CompactArray(("topic", _TEXT), ("id_high", Int64), ("id_low", Int64), ("partitions", _PARTITION), _TAGS)
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(("group", _TEXT), ("topics", _TOPIC), ("error_code", Int16), ("error_message", _TEXT), _TAGS),
        ),
        _TAGS,
    )


class _ShareOffsetsRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = 90, 0
    RESPONSE_TYPE = _ShareOffsetsResponse
    _TOPIC = CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)
    SCHEMA = Schema(("groups", CompactArray(("group", _TEXT), ("topics", _TOPIC), _TAGS)), _TAGS)


class DescribeShareGroup(Request[_ShareOffsetsRequest]):  # type: ignore[misc]
    """Describes where a share group is in all partitions that it reads. To be sent to its coordinator."""

    API_KEY = 90

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request([(self._group, None, {})], {})  # of partitions that are named it says the same as of others
