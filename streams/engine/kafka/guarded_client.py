"""Kafka clients that get over every connection that breaks, with what aiokafka's client lacks for that.

Its metadata say which broker leads what. A task of its own keeps them, and while that task is broken nothing else of
the client comes back. Left alone (aiokafka 0.14)

- it ends for ever, and says nothing, when it writes to a connection that was reset just before: uvloop raises
  RuntimeError there, which aiokafka does not expect;
- it sleeps until the metadata are old, though it was asked for new ones, when it was woken by time and the topics
  changed while it was answered;
- it asks for ever on a connection that nobody answers any more: other requests close such a one, this does not;
- it asks thousands of times a second as long as a partition has no leader, each time with an error in the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from aiokafka import TopicPartition
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError

log = logging.getLogger(__name__)

_Ask = Callable[..., Awaitable[Any]]

PAUSE = 0.2
"""Seconds after an answer that did not help."""


def guard(client: Any) -> None:
    """Build that into a client: the AIOKafkaClient inside of a consumer, a producer or an admin client."""
    client.send, client.bootstrap = _translating(client.send), _translating(client.bootstrap)
    _keep_metadata(client)


def _translating(ask: _Ask) -> _Ask:
    """Let what is sent on a connection that was reset just before fail as what else cannot be sent."""

    async def translating(*args: Any, **kwargs: Any) -> Any:
        try:
            return await ask(*args, **kwargs)
        except RuntimeError as error:
            if type(error) is not RuntimeError:  # aiokafka's own are of this kind, too
                raise
            raise KafkaConnectionError(str(error)) from error

    return translating


def _keep_metadata(client: Any) -> None:
    update = client._metadata_update

    async def keeping(cluster: Any, topics: Any) -> bool:
        began, updated = monotonic(), False
        try:
            updated = await update(cluster, topics)
        except Exception as error:  # whatever it is: no update would follow
            log.warning("metadata could not be asked for", extra={"error": type(error).__name__})
        if monotonic() - began >= client._request_timeout_ms / 1000:
            _close_silent(client)
        if not updated or _leaderless(cluster, topics):
            await asyncio.sleep(PAUSE)
        if cluster is client.cluster and topics != client._topics and not client._md_update_waiter.done():
            client._md_update_waiter.set_result(None)  # else its task sleeps now, with somebody waiting
        return updated

    client._metadata_update = keeping


def _close_silent(client: Any) -> None:
    """Close connections whose oldest request was given up: their answers come in order, so none can come before it."""
    for connection in list(client._conns.values()):
        if connection._requests and connection._requests[0][-1].done():
            connection.close(reason=CloseReason.CONNECTION_TIMEOUT)


def _leaderless(cluster: Any, topics: Any) -> bool:
    leaders = (
        cluster.leader_for_partition(TopicPartition(topic, partition))
        for topic in topics or ()
        for partition in cluster.partitions_for_topic(topic) or ()
    )
    return any(leader is None or leader < 0 for leader in leaders)
