"""For how long a consumer has heard nothing from Kafka."""

import asyncio
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from npsflow.streams.engine.kafka.clients import client_of
from npsflow.streams.engine.kafka.protocol import DescribeTopics

_ASK_EVERY = 2.0
_ANSWER = 4.0
_FRESH = 0.1  # seconds for which one look at all partitions will do: who asks about one asks about all


class Contact:
    """Of a consumer and one of the topics that it reads, with prefix.

    A partition that is read is asked for twice a second or more, so the oldest answer counts: a single broker that is
    gone or stands still is seen. A consumer that reads no partition asks for the topic itself, in `keep`.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer, self._topic, self._clock = consumer, topic, clock
        self._heard = clock()
        self._since: dict[TopicPartition, tuple[int | None, float]] = {}
        self._looked_at = -_FRESH

    def silent_for(self) -> float:
        """Seconds since Kafka was last heard of, on the partition where that is longest ago."""
        now, since = self._clock(), {}
        for tp in self._read():
            try:
                answered: int | None = self._consumer.last_poll_timestamp(tp)  # by a clock that may be set
            except IllegalStateError:  # revoked
                continue
            before = self._since.get(tp)
            since[tp] = before if before is not None and before[0] == answered else (answered, now)
        self._since, self._looked_at = since, now
        self._heard = min((at for _, at in since.values()), default=self._heard)
        return now - self._heard

    def silent_on(self, tp: TopicPartition) -> float:
        """Seconds since it was last heard of on this partition; 0 for one that is not read."""
        now = self._clock()
        if now >= self._looked_at + _FRESH:
            self.silent_for()
        return now - self._since.get(tp, (None, now))[1]

    async def keep(self) -> None:
        """Keep looking, until cancelled."""
        while True:
            self.silent_for()  # what has changed is known only by looking
            if not self._since and await self._answers():
                self._heard = self._clock()
            await asyncio.sleep(_ASK_EVERY)

    def _read(self) -> set[TopicPartition]:
        return set(self._consumer.assignment()) - set(self._consumer.paused())

    async def _answers(self) -> bool:
        client = client_of(self._consumer)
        try:
            async with asyncio.timeout(_ANSWER):
                answer = await client.send(client.get_random_node(), DescribeTopics([self._topic]))
        except (KafkaError, TimeoutError):
            return False
        return not any(code for code, *_ in answer.topics)
