"""The records of `notify-log`: written, read, and given up messages put back."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from msgspec.structs import replace

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.notify.context import Context
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import AmbiguousName
from npsflow.schemas.notify import Backlog, Delivery, Hurry, LogRecord, decode_record
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.queue import Fence, Queue

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds to wait after Kafka did not take something."""

_SECONDS = 30.0


class DeliveryLog:
    """Writes to `notify-log`."""

    def __init__(self, producer: RenewedProducer, installation: Installation) -> None:
        self._producer, self._topic = producer, installation.topic(topics.NOTIFY_LOG)

    async def write(self, partition: int, records: Sequence[LogRecord]) -> int:
        """Write all of them or none; returns the offset of the first.

        Raises KafkaError, TimeoutError, and ValueError for more than one batch can hold.
        """
        batch = self._producer.create_batch()
        for record in records:
            now = int(time.time() * 1000)
            if batch.append(key=record.key(), value=codec.encode(record), timestamp=now) is None:
                raise ValueError("more than one batch can hold")
        async with asyncio.timeout(_SECONDS):
            written = await (await self._producer.send_batch(batch, self._topic, partition=partition))
        offset: int = written.offset
        return offset


class Recorder:
    """Writes records of one running notifier to the log, and applies them to its queue without reading them back."""

    def __init__(self, context: Context, queue: Queue, delivery_log: DeliveryLog) -> None:
        self._context, self._queue, self._log = context, queue, delivery_log

    async def record(self, partition: int, deliveries: Sequence[Delivery], backlog: Backlog | None = None) -> None:
        """Write these under the ownership of the partition, all or none. Raises KafkaError, TimeoutError."""
        owner = self._queue.owner_since(partition)
        owned = [replace(delivery, owner=owner) for delivery in deliveries]
        left = [] if backlog is None else [replace(backlog, owner=owner)]
        offset = await self._log.write(partition, [*owned, *left])
        for one in left:
            self._queue.set_backlog(partition, one)
        for number, delivery in enumerate(owned):
            self._queue.apply(partition, offset + number, delivery, written=True)
            if delivery.state == "given_up":
                self._context.metrics.given_up.labels(self._context.name).inc()
                log.error("a message is given up", extra=log_fields(delivery))

    def failed(self, error: BaseException) -> None:
        """Count and log that `record` raised."""
        self._context.metrics.produce_failures.inc()
        log.warning("Kafka did not take what became of messages", extra={"error": type(error).__name__})


def log_fields(delivery: Delivery) -> dict[str, object]:
    """What may be logged of a delivery."""
    return {
        "notifier": delivery.notifier, "event": delivery.event_id, "why": delivery.error, "tries": delivery.attempts,
    }  # fmt: skip


class LogState(NamedTuple):
    """The newest records of `notify-log`, each with its partition, in the order in which they were written."""

    deliveries: list[tuple[int, Delivery]]
    backlogs: list[tuple[int, Backlog]]


async def read_state(installation: Installation) -> LogState:
    """Read the log to its end. Raises KafkaError, KafkaFailed."""
    latest: dict[tuple[int, bytes | None], LogRecord] = {}
    fences: defaultdict[tuple[int, str], Fence] = defaultdict(Fence)
    async with aclosing(reading.committed_records(installation, topics.NOTIFY_LOG)) as records:
        async for record in records:
            read = decode_record(record.key, record.value) if record.value else None
            if isinstance(read, Hurry) or (
                read is not None and not fences[record.partition, read.notifier].admits(read)
            ):
                continue
            latest.pop((record.partition, record.key), None)
            if read is not None:
                latest[record.partition, record.key] = read
    newest = [(partition, read) for (partition, _), read in latest.items()]
    return LogState(
        [(partition, read) for partition, read in newest if isinstance(read, Delivery)],
        [(partition, read) for partition, read in newest if isinstance(read, Backlog) and read.count],
    )


async def replay(installation: Installation, name: str, event_id: str | None) -> tuple[int, int]:
    """Let a notifier send messages now, given up or waiting: those about `event_id`, see `named_events`, or all.

    Returns how many were given up, and how many wait. Raises AmbiguousName.
    """
    mine = [
        (partition, one)
        for partition, one in (await read_state(installation)).deliveries
        if one.notifier == name and one.state in ("given_up", "waiting")
    ]
    event_ids = named_events((one.event_id for _, one in mine), event_id or "")
    chosen = [(partition, one) for partition, one in mine if one.event_id in event_ids]
    given_up = [(partition, one) for partition, one in chosen if one.state == "given_up"]
    waiting = [(partition, one) for partition, one in chosen if one.state == "waiting"]
    async with renewed_producer(installation) as producer:
        delivery_log = DeliveryLog(producer, installation)
        for partition, delivery in given_up:
            again = replace(delivery, state="waiting", attempts=0, not_before=0, error="", owner=0)
            await delivery_log.write(partition, [again])
        # A record of a message that waits would undo what a running notifier writes meanwhile: a command does not.
        for partition, hurried in {(partition, one.event_id if event_id else "") for partition, one in waiting}:
            await delivery_log.write(partition, [Hurry(name, int(time.time() * 1000), hurried)])
    return len(given_up), len(waiting)


def named_events(event_ids: Iterable[str], name: str) -> set[str]:
    """That with this id, else all about the one case or alert whose id, or an event's, begins like it.

    Raises AmbiguousName when several do; "" names all.
    """
    known = set(event_ids)
    if name in known:
        return {name}
    found = {event_id for event_id in known if event_id.startswith(name)}
    subjects = {event_id.rpartition(".")[0] for event_id in found}
    if name and len(subjects) > 1:
        raise AmbiguousName(name, subjects)
    return found
