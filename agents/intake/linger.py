"""Webhooks of the same few milliseconds go to Kafka together: to send each by itself took a third of all time."""

import asyncio
import logging
import time
from collections.abc import Iterable

from aiokafka.errors import KafkaError

from npsflow.agents.kafka import clients
from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import KeyedRecord

log = logging.getLogger(__name__)

_LINGER_SECONDS = 0.005
_BUSY_SECONDS = 0.05  # for which what comes next is collected while Kafka has not acknowledged what went before
_KAFKA_SECONDS = 4.0  # with what comes before and after it, a sender gets its answer within five


class LingeringProducer:
    """`partitions` is the count of every topic that intake writes; records without a key go to the first of them."""

    def __init__(self, producer: RenewedProducer, prefix: str, partitions: int) -> None:
        self.producer = producer
        self._prefix, self._partitions = prefix, partitions
        self._open: tuple[Outputs, asyncio.Future[bool]] | None = None
        self._collecting: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def write(self, records: Iterable[KeyedRecord]) -> bool:
        """Whether Kafka has acknowledged these records and all that were sent with them."""
        if self._open is None:
            acknowledged = asyncio.get_running_loop().create_future()
            self._open = Outputs(self.producer, self._prefix, int(time.time() * 1000)), acknowledged
            if self._collecting is None or self._collecting.done():
                self._collecting = asyncio.create_task(self._collect())
        outputs, acknowledged = self._open
        for record in records:
            outputs.emit(record.output(self._partitions))
        return await asyncio.shield(acknowledged)  # whoever is cancelled cancels no other

    async def _collect(self) -> None:
        """Send what is collected, again and again while there is more.

        aiokafka has one request to a broker under way: what it would have to wait for goes together.
        """
        while self._open is not None:
            await asyncio.sleep(_LINGER_SECONDS)
            task = asyncio.create_task(self._send(*self._open))
            self._open = None
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            await asyncio.wait([task], timeout=_BUSY_SECONDS)

    async def _send(self, outputs: Outputs, acknowledged: asyncio.Future[bool]) -> None:
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                await clients.deliver(self.producer, outputs)
        except (KafkaError, TimeoutError) as error:
            log.warning("webhooks could not be kept", extra={"error": type(error).__name__})
            acknowledged.set_result(False)
        except Exception as error:
            acknowledged.set_exception(error)
        else:
            acknowledged.set_result(True)
