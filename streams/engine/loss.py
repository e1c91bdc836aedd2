"""Records that were deleted, by retention or a person, before they were read."""

from aiokafka import AIOKafkaConsumer, TopicPartition


async def count_deleted(reader: AIOKafkaConsumer, tp: TopicPartition, expected: int, found: int) -> int:
    """How many offsets of [expected, found) are no longer in the topic, now that a reader goes on from `found`.

    The others were ends of transactions, which no reader is given; of what is deleted nobody can tell what it was.
    `reader` is asked where the partition begins, if it has to be. Raises KafkaError.
    """
    if found <= expected:
        return 0
    begin: int = (await reader.beginning_offsets([tp]))[tp]
    return max(0, min(begin, found) - expected)
