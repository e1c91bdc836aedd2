"""Requests that aiokafka lacks: topics and groups together with the operations that this client may do on them.

https://kafka.apache.org/protocol: Metadata 8 and DescribeGroups 4, which change nothing and need no permission but to
describe; and JoinGroup 5, to ask whether a session may be so long.
"""

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import JoinGroupRequest_v5
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

_TEXT = String("utf-8")


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class DescribeTopics(Request[_MetadataRequest]):  # type: ignore[misc]
    """Describes topics, creating none, and the operations allowed on them; with `cluster` also those on the cluster."""

    API_KEY = 3

    def __init__(self, names: list[str], cluster: bool = False) -> None:
        self._names, self._cluster = names, cluster

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request(self._names, False, self._cluster, True)


class _GroupsResponse(Response):  # type: ignore[misc]
    API_KEY = 15
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                (
                    "members",
                    Array(
                        ("member_id", _TEXT),
                        ("instance", _TEXT),
                        ("client_id", _TEXT),
                        ("client_host", _TEXT),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class _GroupsRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 15
    API_VERSION = 4
    RESPONSE_TYPE = _GroupsResponse
    SCHEMA = Schema(("groups", Array(_TEXT)), ("include_authorized_operations", Boolean))


class DescribeGroup(Request[_GroupsRequest]):  # type: ignore[misc]
    """Describes a group and the operations allowed on it. To be sent to its coordinator."""

    API_KEY = 15

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request([self._name], True)


class AskForSession(Request[JoinGroupRequest_v5]):  # type: ignore[misc]
    """Asks whether a member of the group may have this session, in ms. To be sent to its coordinator.

    Nobody joins by it: a broker that takes the session first answers which id to join under.
    """

    API_KEY = 11

    def __init__(self, group: str, session_ms: int) -> None:
        self._group, self._session_ms = group, session_ms

    def build(self, request: Any) -> Any:
        """Give the request to be sent; aiokafka calls it."""
        return request(self._group, self._session_ms, self._session_ms, "", None, "consumer", [("range", b"")])
