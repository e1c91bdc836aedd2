"""Without input, the broker's clock moves the windows on."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas.codec import loads
from npsflow.schemas.times import HOUR
from npsflow.streams.engine.clock import BrokerClock
from tests.support.waiting import eventually

from .harness import Harness, response_line


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


async def overall(harness: Harness) -> dict[str, dict[str, Any]]:
    """The windows of all responses, by name."""
    windows = [loads(value) for value in (await harness.windows()).values()]
    return {window["window"]: window for window in windows if not window["segment"]}
