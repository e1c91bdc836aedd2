"""The worker's pages: whether it is ready, and its metrics."""

import asyncio
from collections import Counter

import aiohttp
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.streams.engine.observer import Observer, Restoring, Step
from tests.support.waiting import eventually

from .harness import SECONDS, Harness, lines

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class HeldUp(Observer):
    """Lets no changelog be read until `go`."""

    def __init__(self) -> None:
        self.restoring, self.go = asyncio.Event(), asyncio.Event()

    async def hold(self, step: Step) -> None:
        if isinstance(step, Restoring):
            self.restoring.set()
            await self.go.wait()


async def test_health_and_metrics(broker: Broker) -> None:
    held_up = HeldUp()
    web = (HOST, free_port())
    async with (
        Harness(broker, "pages.") as harness,
        aiohttp.ClientSession(f"http://{web[0]}:{web[1]}") as client,
        harness.worker("classify", web=web, observers=[held_up]),
    ):

        async def status(page: str) -> int:
            async with client.get(page) as answer:
                return answer.status

        async def ready() -> bool:
            return await status("/health/ready") == 200

        await asyncio.wait_for(held_up.restoring.wait(), SECONDS)
        assert await status("/health/live") == 200
        assert await status("/health/ready") == 503
        held_up.go.set()
        await eventually(ready)

        async def families() -> dict[str, Metric]:
            async with client.get("/metrics", headers={"Accept": OPENMETRICS}) as answer:
                assert answer.content_type == "application/openmetrics-text"
                text = await answer.text()
            return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]

        async def all_counted() -> bool:
            samples = (await families())["npsflow_records"].samples
            read = Counter({s.labels["outcome"]: s.value for s in samples if s.name == "npsflow_records_total"})
            return read.total() >= 300 and read == await harness.outcomes()

        harness.produce(lines(300))
        await eventually(all_counted)
        assert (await families())["npsflow_commit_seconds"].samples
        async with client.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
