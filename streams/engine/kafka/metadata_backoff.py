"""Kafka clients that stay calm while a partition has no leader or no broker answers.

In: a client of aiokafka. As long as it wants to send to, or fetch from, a partition without a leader, it asks for new
metadata as soon as the last answer is there or has failed: thousands of times a second while a broker restarts, each
with an error in the log, on all of a core.
"""

import asyncio
from typing import Any

from aiokafka import TopicPartition

PAUSE = 0.2


def back_off_metadata(client: Any) -> None:
    """Make it (the AIOKafkaClient inside of a consumer or producer) wait before it asks in vain again."""
    update = client._metadata_update

    async def calmly(cluster: Any, topics: Any) -> Any:
        updated = await update(cluster, topics)
        if not updated or _leaderless(cluster, topics):
            await asyncio.sleep(PAUSE)
        return updated

    client._metadata_update = calmly


def _leaderless(cluster: Any, topics: Any) -> bool:
    leaders = (
        cluster.leader_for_partition(TopicPartition(topic, partition))
        for topic in topics or ()
        for partition in cluster.partitions_for_topic(topic) or ()
    )
    return any(leader is None or leader < 0 for leader in leaders)
