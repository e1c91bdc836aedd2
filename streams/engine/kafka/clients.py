"""Options of every Kafka client, made from an installation: the one place that names them; and a worker's consumers."""

from typing import Any, Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from npsflow.schemas.topics import MAX_RECORD
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka import errors  # noqa: F401 so that aiokafka knows them
from npsflow.streams.engine.kafka.guarded_client import guard

Isolation = Literal["read_committed", "read_uncommitted"]

_METADATA_AGE = 15_000
"""Milliseconds until a client asks anew which broker leads what, and sees that a topic was made anew."""

_FETCH_WAIT = 100  # ms; a broker answers one request of a connection at a time, all others wait behind a fetch
_REST_WAIT = 500  # the same for a consumer that seldom asks anything else
_LOOK_EVERY = 1_000  # ms until aiokafka looks whether something can be fetched; all that makes it so wakes it, too
_FETCH_BYTES = 4 << 20  # of one partition
BATCH = 1 << 20
"""Bytes of a batch of a producer, before it is compressed."""


def client_options(installation: Installation) -> dict[str, Any]:
    """Keyword arguments of every client: addresses and security, the password among them.

    Raises SettingsError when a file that the settings name cannot be used.
    """
    security = installation.security
    options: dict[str, Any] = {
        "bootstrap_servers": installation.brokers,
        "security_protocol": security.protocol,
        "ssl_context": security.context(),
        "metadata_max_age_ms": _METADATA_AGE,
    }
    return options | security.options


def consumer_options(
    installation: Installation,
    group: str | None = None,
    *,
    instance: str | None = None,
    session_ms: int = 10_000,
    isolation: Isolation = "read_committed",
    at_rest: bool = False,
) -> dict[str, Any]:
    """Keyword arguments of a consumer that begins at the beginning and never commits by itself.

    `instance`: its static name in `group`, if any. `session_ms`: the group notices its death after this time.
    `at_rest`: it waits most of the time, and asks for new records only twice a second; they come at once all the same.
    """
    return client_options(installation) | {
        "group_id": group,
        "group_instance_id": instance,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": isolation,
        "partition_assignment_strategy": (RangePartitionAssignor,),  # equal partitions of two topics go together
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": max(100, session_ms // 4),
        "max_partition_fetch_bytes": _FETCH_BYTES,
        "fetch_max_wait_ms": _REST_WAIT if at_rest else _FETCH_WAIT,
        "consumer_timeout_ms": _LOOK_EVERY,
    }


def producer_options(installation: Installation, transactional_id: str | None = None) -> dict[str, Any]:
    """Keyword arguments of a producer that waits for all replicas; with an id it can begin transactions."""
    return client_options(installation) | {
        "acks": "all",
        "enable_idempotence": True,
        "transactional_id": transactional_id,
        "max_request_size": MAX_RECORD,
        "max_batch_size": BATCH,
        "compression_type": None if installation.compression == "none" else installation.compression,
    }


def stage_consumer(installation: Installation, stage: str, instance: str | None) -> AIOKafkaConsumer:
    """The consumer of a stage's input, in the stage's group; `instance`: its static name there, None for none."""
    group = installation.group(stage)
    options = consumer_options(installation, group, instance=instance, session_ms=installation.session_ms, at_rest=True)
    return guarded(AIOKafkaConsumer(**options))


def changelog_consumer(installation: Installation) -> AIOKafkaConsumer:
    """A consumer without group, for changelogs and offsets."""
    consumer = guarded(AIOKafkaConsumer(**consumer_options(installation)))
    # Else it gives up on offsets just before its client gives up on the request, and never renews the connection.
    consumer._request_timeout_ms *= 2
    return consumer


def guarded(outer: Any) -> Any:
    """Give a consumer or an admin client back with the guard of guarded_client.py on the client inside of it."""
    guard(client_of(outer))
    return outer


def client_of(outer: AIOKafkaConsumer | AIOKafkaAdminClient) -> AIOKafkaClient:
    """The client inside of a consumer or an admin client, for single requests."""
    return outer._client


def member_id(consumer: AIOKafkaConsumer) -> str:
    """The id that its group has given to it; "" while it has none."""
    return str(consumer._coordinator.member_id)
