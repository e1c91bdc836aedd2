"""aiokafka's transactional producer, with what it lacks for a commit whose outcome has to be certain.

A transaction is begun only on a connection to its coordinator that is vouched for: the one on which the producer was
initialised, or a later one, once nothing older is open anywhere. A coordinator that was not restarted has written all
ends of the last transaction before it lets another begin, where a partition has a leader. One that was may have left
some out, see hanging_transactions.py; if the next transaction is aborted then, what the last one committed is lost.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError, KafkaError, NodeNotReadyError, for_code
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, InitProducerIdRequest

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import BATCH, producer_options
from npsflow.streams.engine.kafka.guarded_client import guard
from npsflow.streams.engine.kafka.record_batch import RecordBatch

TRANSACTION_TIMEOUT = 10.0
"""Seconds until the broker aborts a transaction that nobody ends: how long a dead writer can hide others' records."""

_PAUSE = 0.02
_BEGINS = AddPartitionsToTxnRequest, AddOffsetsToTxnRequest


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
        self._id = transactional_id
        self._vouched: Any = None
        self._compression = installation.compression
        guard(self.client)
        self._watch_requests()
        self._withhold()

    @property
    def vouched(self) -> bool:
        """Whether a transaction may begin."""
        return self._vouched is not None and self._vouched.connected()

    async def connect(self) -> Any:
        """Give the connection to the coordinator, to be vouched for. Raises KafkaError."""
        node = await self.client.coordinator_lookup(CoordinationType.TRANSACTION, self._id)
        if not await self.client.ready(node, group=ConnectionGroup.COORDINATION):
            raise NodeNotReadyError
        return self._connection(node)

    def vouch(self, connection: Any) -> None:
        """Let transactions begin on this connection."""
        self._vouched = connection

    def create_batch(self) -> RecordBatch:
        """Give an empty batch."""
        return RecordBatch(self._compression, BATCH)

    async def end_empty_transaction(self, commit: bool, partitions: Iterable[TopicPartition]) -> None:
        """Commit or abort a transaction without records on these partitions. Raises KafkaError."""
        await self.begin_transaction()
        for tp in partitions:
            self._txn_manager.maybe_add_partition_to_txn(tp)
        await (self.commit_transaction() if commit else self.abort_transaction())

    async def release(self) -> None:
        """Initialise the id once more, with the usual time-out, when all ends are written: it can be used no more.

        Raises KafkaError where that is not certain.
        """
        request = InitProducerIdRequest(self._id, int(TRANSACTION_TIMEOUT * 1000))
        while True:
            if not self.vouched:
                raise KafkaConnectionError("the coordinator may have been restarted")
            error = for_code((await self._vouched.send(request)).error_code)
            if error is ConcurrentTransactions:
                await asyncio.sleep(_PAUSE)
            elif error.errno:
                raise error
            else:
                return

    def _connection(self, node: int) -> Any:
        return self.client._conns.get((node, ConnectionGroup.COORDINATION))

    def _watch_requests(self) -> None:
        send, manager = self.client.send, self._txn_manager

        async def watching(node: int, request: Any, **options: Any) -> Any:
            if isinstance(request, _BEGINS) and not (self.vouched and self._connection(node) is self._vouched):
                self.failed = True
                error = KafkaConnectionError("the coordinator may have been restarted since the last transaction")
                manager.error_transaction(error)
                raise error
            try:
                answer = await send(node, request, **options)
            except KafkaError:
                self.failed = True
                raise
            if isinstance(request, InitProducerIdRequest) and not answer.error_code:
                self.vouch(self._connection(node))
            return answer

        self.client.send = watching

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
                    batch._drain_waiter.exception()
            error_transaction(error)
            waiter: asyncio.Future[None] = manager._transaction_waiter
            waiter.exception()  # whoever waits gets them; where nobody does, asyncio need not complain

        manager.error_transaction = withholding
