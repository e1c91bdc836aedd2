"""Responses that others produce to a topic of their own: sealed, and sent on to `survey-responses`."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, MessageSizeTooLargeError

from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import NotSetUp
from npsflow.agents.kafka.renewed_consumer import renewed_consumer
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.sealing.sealer import Seals, open_sealing
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.stage import Record

_GROUP = "seal"
_AT_ONCE = 1000  # records


async def forward(settings: Settings, installation: Installation, topic: str, stopping: asyncio.Event) -> int:
    """Send on what is in `topic`, given as Kafka knows it, until `stopping` is set; returns how many records.

    A crash sends some records again, which then count as repeated. Raises SettingsError where nothing would be sealed,
    KafkaFailed.
    """
    if not settings.sealing.enabled:
        raise SettingsError("sealing.enabled is false: nothing would be sealed")
    if topic == installation.topic(topics.RESPONSES):
        raise SettingsError(f"--from {topic}: what is there already cannot be sealed, name the topic of the producers")
    count, sent = len(await reading.partitions(installation, topics.RESPONSES)), 0
    async with (
        open_sealing(settings, installation) as sealing,
        renewed_consumer(installation, installation.group(_GROUP), installation.session_ms) as consumer,
        renewed_producer(installation) as producer,
    ):
        await sealing.sealer.start()
        consumer.subscribe([topic])
        while not stopping.is_set():
            fetched = await consumer.getmany(timeout_ms=500, max_records=_AT_ONCE)
            records = [*chain.from_iterable(fetched.values())]
            if records:
                await _send(records, sealing.sealer, producer, installation, count)
                await _commit(consumer)
                sent += len(records)
    return sent


async def _send(
    records: Sequence[Record], sealer: Seals, producer: RenewedProducer, installation: Installation, count: int
) -> None:
    made = [KeyedRecord(topics.RESPONSES, record.key, record.value, list(record.headers)) for record in records]
    outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
    for record, sealed in zip(records, await sealer.seal(made), strict=True):
        output = sealed.output(count)
        outputs.emit(output if sealed.key is not None else output._replace(partition=record.partition % count))
    try:
        await clients.deliver(producer, outputs)
    except MessageSizeTooLargeError:
        largest = max(records, key=lambda record: len(record.value or b""))
        raise NotSetUp(
            f"{largest.topic}[{largest.partition}]@{largest.offset} is more than {topics.RESPONSES} takes once it is "
            f"sealed: move the group {installation.group(_GROUP)} behind it with kafka-consumer-groups"
        ) from None


async def _commit(consumer: AIOKafkaConsumer) -> None:
    with suppress(CommitFailedError, IllegalStateError):  # another process has the partition now, and sends it again
        await consumer.commit()
