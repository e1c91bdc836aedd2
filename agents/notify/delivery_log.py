"""Writing to `notify-log`: all that happens at once in one partition is there as a whole, or not at all."""

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from npsflow.schemas import codec, topics
from npsflow.schemas.notify import Delivery
from npsflow.streams.engine.installation import Installation

_SECONDS = 30.0


class Log:
    """`producer` is idempotent and waits for all replicas."""

    def __init__(self, producer: AIOKafkaProducer, installation: Installation) -> None:
        self._producer, self._topic = producer, installation.topic(topics.NOTIFY_LOG)

    async def write(self, partition: int, deliveries: Sequence[Delivery]) -> int:
        """The offset of the first, once Kafka has them. Raises KafkaError, TimeoutError."""
        batch = self._producer.create_batch()
        for delivery in deliveries:
            now = int(time.time() * 1000)
            if batch.append(key=delivery.key(), value=codec.encode(delivery), timestamp=now) is None:
                raise ValueError("more than one batch can hold")
        async with asyncio.timeout(_SECONDS):
            done = await (await self._producer.send_batch(batch, self._topic, partition=partition))
        offset: int = done.offset
        return offset
