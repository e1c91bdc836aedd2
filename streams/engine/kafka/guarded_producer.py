"""aiokafka's transactional producer, with what it lacks for a commit whose outcome has to be certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import producer_options
from npsflow.streams.engine.kafka.guarded_client import guard

TRANSACTION_TIMEOUT = 10.0
"""Seconds until the broker aborts a transaction that nobody ends: how long a dead writer can hide others' records."""


class GuardedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A transactional producer; `transaction_timeout` in seconds."""

    def __init__(
        self, installation: Installation, transactional_id: str, transaction_timeout: float = TRANSACTION_TIMEOUT
    ) -> None:
        super().__init__(
            **producer_options(installation, transactional_id),
            transaction_timeout_ms=int(transaction_timeout * 1000),
        )
        self.failed = False
        """Whether a request has failed since this was last set to False.

        aiokafka sends again what it got no answer to; what the broker made of the first request, nobody knows.
        """
        guard(self.client)
        self._note_failures()
        self._withhold()

    async def end_empty_transaction(self, commit: bool, partitions: Iterable[TopicPartition]) -> None:
        """Commit or abort a transaction without records on these partitions. Raises KafkaError."""
        await self.begin_transaction()
        for tp in partitions:
            self._txn_manager.maybe_add_partition_to_txn(tp)
        await (self.commit_transaction() if commit else self.abort_transaction())

    def _note_failures(self) -> None:
        send = self.client.send

        async def noting(*args: Any, **kwargs: Any) -> Any:
            try:
                return await send(*args, **kwargs)
            except KafkaError:
                self.failed = True
                raise

        self.client.send = noting

    def _withhold(self) -> None:
        """Send nothing that could not be added to the transaction; aiokafka does when one of its topics is forbidden.

        As long as the marker of the last transaction is not written, Kafka takes it for a part of that one: committed.
        """
        manager, accumulator = self._txn_manager, self._message_accumulator
        error_transaction = manager.error_transaction

        def withholding(error: Exception) -> None:
            for tp in manager.partitions_to_add():
                for batch in accumulator._batches.pop(tp, ()):
                    batch.failure(error)
                    batch.future.exception()
            error_transaction(error)
            waiter: asyncio.Future[None] = manager._transaction_waiter
            waiter.exception()  # whoever waits gets them; where nobody does, asyncio need not complain

        manager.error_transaction = withholding
