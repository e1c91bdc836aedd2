"""Webhooks of the same few milliseconds go to Kafka together: to send each by itself took a third of all time."""

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.kafka import clients
from npsflow.schemas.headers import Headers
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output

log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.005
_KAFKA_SECONDS = 4.0  # with what comes before and after it, a sender hears within five

Record = tuple[str, bytes | None, bytes]
"""Topic without prefix, key, value."""


class Gathering:
    """`partitions` is that of every topic that intake writes; what has no key goes to the first of them."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, partitions: int) -> None:
        self.producer = producer
        self._prefix, self._partitions = prefix, partitions
        self._open: tuple[Outputs, asyncio.Future[bool]] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def write(self, records: Sequence[Record], headers: Headers) -> bool:
        """Whether Kafka has acknowledged all of it, and all that went with it."""
        if self._open is None:
            loop = asyncio.get_running_loop()
            self._open = Outputs(self.producer, self._prefix, int(time.time() * 1000)), loop.create_future()
            loop.call_later(_GATHER_SECONDS, self._go)
        outputs, written = self._open
        for topic, key, value in records:
            partition = 0 if key is None else partition_of(key, self._partitions)
            outputs.emit(Output(topic, partition, key, value, headers))
        return await asyncio.shield(written)  # one that is cancelled takes no other with it

    def _go(self) -> None:
        if self._open is not None:
            task = asyncio.get_running_loop().create_task(self._deliver(*self._open))
            self._open = None
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, outputs: Outputs, written: asyncio.Future[bool]) -> None:
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                await clients.deliver(self.producer, outputs)
        except (KafkaError, TimeoutError) as error:
            log.warning("webhooks could not be kept", extra={"error": type(error).__name__})
            written.set_result(False)
        except Exception as error:
            written.set_exception(error)
        else:
            written.set_result(True)
