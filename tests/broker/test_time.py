"""Time is the broker's: without input it moves the windows on, and clocks of clients do not."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Producer

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas.codec import loads
from npsflow.schemas.times import HOUR
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.engine.clock import BrokerClock
from tests.support.waiting import eventually

from .harness import SECONDS, Harness, response_line


async def test_idle_ticks(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours later nothing is left of the last hour, and longer windows end two hours later."""
    ahead = 0
    monkeypatch.setattr(BrokerClock, "now", lambda clock, now=BrokerClock.now: now(clock) + ahead)
    async with Harness(broker, "idle.", settings="") as harness, harness.worker():
        now = datetime.now(UTC).isoformat()
        harness.produce(response_line(number, submitted_at=now) for number in range(40))

        async def counts(expected: dict[str, int]) -> bool:
            return {name: window["n"] for name, window in (await overall(harness)).items()} == expected

        await eventually(partial(counts, {"1h": 40, "24h": 40, "7d": 40, "30d": 40}))
        before = await overall(harness)
        ahead = 2 * HOUR
        await eventually(partial(counts, {"24h": 40, "7d": 40, "30d": 40}))

        for name in ("24h", "7d"):
            ends = [datetime.fromisoformat(table[name]["end"]) for table in (before, await overall(harness))]
            assert (ends[1] - ends[0]).total_seconds() * 1000 in (2 * HOUR, 3 * HOUR)


async def test_one_client_with_a_wrong_clock_ends_no_window(broker: Broker) -> None:
    """On a topic with create time, where nothing keeps it off; the very first record is one of it."""
    async with Harness(broker, "ahead.", settings="[topics]\npartitions = 1") as harness, harness.worker():
        times = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
        await harness.configure_topic(RESPONSES, times)
        producer, now = Producer(harness.client), datetime.now(UTC)
        for number, ahead in enumerate((75 * 365, 0, 0, 75 * 365, 0)):
            at = now + timedelta(days=ahead)
            line = response_line(number, submitted_at=at.isoformat())
            time = int(at.timestamp() * 1000)
            producer.produce(harness.installation.topic(RESPONSES), line.value, line.key, timestamp=time)
        assert producer.flush(SECONDS) == 0

        async def counted() -> bool:
            return {window["n"] for window in (await overall(harness)).values()} == {3}

        await eventually(counted)
        letters = await harness.read(DEAD_LETTERS)
        assert [dict(record.headers)["npsflow_dlq_reason"] for record in letters] == [b"in_the_future"] * 2


async def overall(harness: Harness) -> dict[str, dict[str, Any]]:
    """The windows of all responses, by name."""
    windows = [loads(value) for value in (await harness.windows()).values()]
    return {window["window"]: window for window in windows if not window["segment"]}
