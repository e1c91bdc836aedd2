"""Kafka clients that pause between two vain requests for metadata.

As long as an aiokafka client wants to send to, or fetch from, a partition without a leader, it asks for new metadata as
soon as the last answer is there or has failed: thousands of times a second while a broker restarts, each with an error
in the log, on all of a core.
"""

import asyncio
from typing import Any

from aiokafka import TopicPartition

PAUSE = 0.2
"""Seconds."""


def back_off_metadata(client: Any) -> None:
    """Make a client (the AIOKafkaClient inside of a consumer or producer) pause after an answer that did not help."""
    update = client._metadata_update

    async def backing_off(cluster: Any, topics: Any) -> Any:
        updated = await update(cluster, topics)
        if not updated or _leaderless(cluster, topics):
            await asyncio.sleep(PAUSE)
        return updated

    client._metadata_update = backing_off


def _leaderless(cluster: Any, topics: Any) -> bool:
    leaders = (
        cluster.leader_for_partition(TopicPartition(topic, partition))
        for topic in topics or ()
        for partition in cluster.partitions_for_topic(topic) or ()
    )
    return any(leader is None or leader < 0 for leader in leaders)
