"""A member of a group of Kafka Streams (KIP-1071), as far as the broker can tell: it joins and leaves.

Nothing here can run Kafka Streams itself: its jar is no part of the broker. https://kafka.apache.org/protocol:
StreamsGroupHeartbeat 0.
"""

import uuid
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_GROUP = 0
_JOIN, _LEAVE = 0, -1  # in place of an epoch
_TEXT, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)
_TASKS = CompactArray(("subtopology", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)


class _Optional(AbstractType):  # type: ignore[misc]
    """A struct that may be missing."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def encode(self, value: Any) -> bytes:
        encoded: bytes = b"\xff" if value is None else b"\x01" + self._schema.encode(value)
        return encoded

    def decode(self, data: Any) -> Any:
        raise NotImplementedError  # it is in no answer

    def repr(self, value: Any) -> str:
        return repr(value)


_TOPOLOGY = Schema(
    ("epoch", Int32),
    (
        "subtopologies",
        CompactArray(
            ("id", _TEXT),
            ("source_topics", CompactArray(_TEXT)),
            ("source_topic_regex", CompactArray(_TEXT)),
            ("state_changelog_topics", CompactArray(_TEXT)),
            ("repartition_sink_topics", CompactArray(_TEXT)),
            ("repartition_source_topics", CompactArray(_TEXT)),
            ("copartition_groups", CompactArray(_TEXT)),
            _TAGS,
        ),
    ),
    _TAGS,
)


class _HeartbeatResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 88, 0
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _TEXT))  # and more


class _HeartbeatRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = 88, 0
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group", _TEXT), ("member", _TEXT), ("member_epoch", Int32), ("endpoint_information_epoch", Int32),
        ("instance", _TEXT), ("rack", _TEXT), ("rebalance_timeout_ms", Int32), ("topology", _Optional(_TOPOLOGY)),
        ("active_tasks", _TASKS), ("standby_tasks", _TASKS), ("warmup_tasks", _TASKS), ("process", _TEXT),
        ("user_endpoint", _Optional(Schema())), ("client_tags", _TASKS), ("task_offsets", _TASKS),
        ("task_end_offsets", _TASKS), ("shutdown", Boolean), _TAGS,
    )  # fmt: skip


class _Heartbeat(Request[_HeartbeatRequest]):  # type: ignore[misc]
    API_KEY = 88

    def __init__(self, group: str, member: str, epoch: int, topic: str) -> None:
        self._group, self._member, self._epoch, self._topic = group, member, epoch, topic

    def build(self, request: Any) -> Any:
        topology: Any = (1, [("0", [self._topic], [], [], [], [], [], {})], {}) if self._epoch == _JOIN else None
        tasks: list[Any] | None = [] if self._epoch == _JOIN else None
        return request(
            self._group, self._member, self._epoch, 0, None, None, 60_000, topology, tasks, tasks, tasks,
            "a-process", None, None, None, None, False, {},
        )  # fmt: skip


async def join_and_leave(brokers: str, group: str, topic: str) -> None:
    """Make the group, with nobody in it any more."""
    member = str(uuid.uuid4())
    client = AIOKafkaClient(bootstrap_servers=brokers)
    await client.bootstrap()
    try:
        node = await client.coordinator_lookup(_GROUP, group)
        for epoch in (_JOIN, _LEAVE):
            answer = await client.send(node, _Heartbeat(group, member, epoch, topic))
            assert answer.error_code == 0, answer.error_message
    finally:
        await client.close()
