"""What is left of a consumer that is broken."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator

from npsflow.schemas.errors import NpsflowError


class ConsumerBroken(NpsflowError, RuntimeError):
    """A consumer will give nothing any more."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"the Kafka client of {stage} has ended by an error of its own: start the worker again")


def is_broken(consumer: AIOKafkaConsumer) -> bool:
    """Whether one of the tasks inside of a started consumer has ended.

    They end only by an error that aiokafka did not foresee. Nothing starts them again, and few calls say so: without
    the one that fetches, `getmany` finds nothing, for ever.
    """
    coordinator = consumer._coordinator
    grouped = isinstance(coordinator, GroupCoordinator)
    coordinating = coordinator._coordination_task if grouped else coordinator._reset_committed_task
    return any(task.done() for task in (consumer._client._sync_task, consumer._fetcher._fetch_task, coordinating))


def positions(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int | None]:
    """Where it stands in each partition that was assigned to it, None where it does not know; asks nobody."""
    subscription = consumer._subscription.subscription
    assignment: Any = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states = {tp: assignment.state_value(tp) for tp in assignment.tps}
    return {tp: state.position if state.has_valid_position else None for tp, state in states.items()}
