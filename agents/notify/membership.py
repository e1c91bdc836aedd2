"""Committing positions, which also proves that this process is still a member of its group."""

import asyncio
import logging
import time

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.kafka.renewed_consumer import RenewedConsumer

log = logging.getLogger(__name__)

_COMMIT_SECONDS = 1.0  # from one commit to the next


class Membership:
    """Only a member of the group can commit. So a commit proves membership, and it holds for half a session from then.

    A process that was frozen or cut off has lost its partitions without knowing: it has to call `expect_member` before
    it acts on them.
    """

    def __init__(self, consumer: RenewedConsumer, session_ms: int) -> None:
        self._consumer, self._valid_for = consumer, session_ms / 2000
        self.positions: dict[TopicPartition, int] = {}
        """The offset of the next event of each partition whose events are read."""
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._valid_until = 0.0  # both in seconds of the monotonic clock
        self._lock = asyncio.Lock()

    def reset(self) -> None:
        """Partitions are revoked: nothing is known any more."""
        self.positions.clear()
        self._committed.clear()
        self._valid_until = 0.0

    async def commit(self, *, force: bool = False) -> None:
        """Commit positions that have changed, at most once a second unless forced. Logs a failure."""
        now = time.monotonic()
        changed = {tp: offset for tp, offset in self.positions.items() if self._committed.get(tp) != offset}
        if not changed or (now < self._commit_at and not force):
            return
        self._commit_at = now + _COMMIT_SECONDS
        try:
            await self._confirm(changed)
        except KafkaError as error:
            log.info("the position is not committed", extra={"error": type(error).__name__})

    async def expect_member(self) -> None:
        """Raises KafkaError if the group does not confirm that this process is a member."""
        async with self._lock:
            if time.monotonic() >= self._valid_until:
                if not self.positions:
                    raise KafkaError("the partitions are gone")
                await self._confirm(dict(self.positions))

    async def _confirm(self, positions: dict[TopicPartition, int]) -> None:
        asked = time.monotonic()
        try:
            await self._consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in positions.items()})
        except IllegalStateError as error:
            raise KafkaError(str(error)) from None
        self._committed |= positions
        self._valid_until = asked + self._valid_for
