"""The consumer that reads changelogs, and another one in its place after a restore that failed."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import changelog_consumer

_STOP_SECONDS = 5.0


class ChangelogReader:
    """`consumer` belongs to no group, and reads changelogs and offsets. Ask for it each time: it may be replaced."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.consumer = changelog_consumer(installation)

    async def start(self) -> None:
        """Raises KafkaError."""
        await self.consumer.start()

    async def renew(self) -> None:
        """Put another one in place of the consumer. Raises KafkaError, and leaves it as it is then."""
        other = changelog_consumer(self._installation)
        try:
            await other.start()
        except BaseException:
            await _stop(other)
            raise
        old, self.consumer = self.consumer, other
        await _stop(old)

    async def stop(self) -> None:
        """Close all connections."""
        await _stop(self.consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """In whatever state it is; a connection that nobody answers is not waited for."""
    with suppress(Exception):
        async with asyncio.timeout(_STOP_SECONDS):
            await consumer.stop()
