"""What a worker's log says of it, and what the broker says of its group."""

import asyncio
from collections.abc import Awaitable, Callable

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from npsflow.streams.topology import STAGES
from tests.broker.harness import SECONDS, Harness, Process

_ASK = 5.0
"""Seconds; librdkafka overlooks a coordinator that comes into being after it has asked for it."""

_UNKNOWN_YET = {"NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "_TIMED_OUT"}

READY, DROPPED = "task ready", "task dropped, restoring it"


def tasks(worker: Process) -> int:
    """How many times it has been ready with a task up to now, kept ones after a rebalance included."""
    return len(worker.logged(READY))


def has_logged(worker: Process, message: str, times: int = 1) -> Callable[[], Awaitable[bool]]:
    """Whether the message is in its log so many times."""

    async def logged() -> bool:
        return len(worker.logged(message)) >= times

    return logged


def has_tasks(worker: Process, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether it has been ready with a task so many times since it started."""
    return has_logged(worker, READY, count)


async def members(harness: Harness, stage: str) -> list[tuple[str | None, set[int]]]:
    """Name and partitions of each member of a stage's group; empty while it is not at rest, or nobody knows of it."""
    group = harness.installation.group(stage)
    admin = AdminClient({**harness.client})
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=_ASK)[group]
        described = await asyncio.to_thread(asked.result, SECONDS)
    except KafkaException as error:
        if error.args[0].name() not in _UNKNOWN_YET:
            raise
        return []
    if described.state is not ConsumerGroupState.STABLE:
        return []
    return [
        (member.group_instance_id, {tp.partition for tp in member.assignment.topic_partitions})
        for member in described.members
    ]


def has_members(harness: Harness, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether the groups of all stages are at rest with so many members."""

    async def has() -> bool:
        return {len(await members(harness, stage)) for stage in STAGES} == {count}

    return has
