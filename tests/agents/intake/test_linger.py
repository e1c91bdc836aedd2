"""What is collected while Kafka has not acknowledged what went before; the producer is in the test's hands."""

import asyncio
from typing import Any, cast

import pytest

from npsflow.agents.intake import linger
from npsflow.agents.intake.linger import LingeringProducer
from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.streams.intake.entrance import KeyedRecord


class Held:
    """A producer whose writes are acknowledged when the test says so."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.acknowledged: list[asyncio.Future[None]] = []
        self.sending = asyncio.Event()

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> asyncio.Future[None]:
        self.sent.append(batch.values)
        self.acknowledged.append(asyncio.get_running_loop().create_future())
        self.sending.set()
        return self.acknowledged[-1]


class Batch:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: int, key: bytes, value: bytes, headers: Any) -> object:
        self.values.append(value)
        return self


async def test_what_comes_while_kafka_is_busy_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "_LINGER_SECONDS", 0)
    monkeypatch.setattr(linger, "_BUSY_SECONDS", 60)
    kafka = Held()
    producer = LingeringProducer(cast(RenewedProducer, kafka), "", 1)

    async def write(value: bytes) -> asyncio.Task[bool]:
        task = asyncio.create_task(producer.write([KeyedRecord("t", b"k", value)]))
        for _ in range(10):
            await asyncio.sleep(0)
        return task

    first = await write(b"1")
    await kafka.sending.wait()
    later = [await write(value) for value in (b"2", b"3")]
    assert kafka.sent == [[b"1"]]
    kafka.sending.clear()
    kafka.acknowledged[0].set_result(None)
    assert await first
    await kafka.sending.wait()
    assert kafka.sent == [[b"1"], [b"2", b"3"]]
    kafka.acknowledged[1].set_result(None)
    assert all([await task for task in later])


async def test_a_silent_kafka_does_not_hold_back_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "_LINGER_SECONDS", 0)
    monkeypatch.setattr(linger, "_BUSY_SECONDS", 0)
    kafka = Held()
    producer = LingeringProducer(cast(RenewedProducer, kafka), "", 1)
    tasks = []
    for value in (b"1", b"2"):
        tasks.append(asyncio.create_task(producer.write([KeyedRecord("t", b"k", value)])))
        await kafka.sending.wait()
        kafka.sending.clear()
    assert kafka.sent == [[b"1"], [b"2"]]
    for acknowledged in reversed(kafka.acknowledged):
        acknowledged.set_result(None)
    assert all([await task for task in tasks])
