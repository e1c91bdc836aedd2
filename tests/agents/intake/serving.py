"""The real server of intake, in this process, on a real Kafka."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from npsflow.agents.broker.embedded import HOST
from npsflow.agents.intake.endpoint import Endpoint
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import open_producer
from npsflow.agents.intake.server import Server
from npsflow.agents.kafka import clients, reading
from npsflow.agents.sealing.sealer import CLEAR, Seals
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine import admin
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Record
from npsflow.streams.topology import wanted
from tests.agents.platforms.conformance import endpoint, platform
from tests.agents.platforms.signing import SECRET, standard_webhooks
from tests.support.waiting import eventually

FORMBRICKS, TYPEFORM = platform("formbricks"), platform("typeform")
PATH = "/in/feedback"
FREELY = Limits(rate=1e6)
ENDPOINTS = {
    "feedback": endpoint(FORMBRICKS.form, name="feedback"),
    "typed": endpoint(TYPEFORM.form, name="typed"),
}


async def install(installation: Installation) -> None:
    async with clients.admin(installation) as client:
        await admin.create(client, wanted(Settings(), installation))

        async def known() -> bool:
            return installation.topic(RESPONSES) in await admin.partition_counts(client)

        await eventually(known)  # brokers know of it a little later


@dataclass
class Serving:
    client: aiohttp.ClientSession
    port: int
    metrics: Metrics

    def counted(self, entrance: str, outcome: str) -> float:
        labels = {"entrance": entrance, "outcome": outcome}
        return self.metrics.registry.get_sample_value("npsflow_intake_requests_total", labels) or 0.0

    def total(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"npsflow_intake_{name}_total") or 0.0


@asynccontextmanager
async def serving(
    installation: Installation,
    limits: Limits = FREELY,
    trusted: tuple[str, ...] = (),
    endpoints: Mapping[str, Endpoint] = ENDPOINTS,
    clock: Callable[[], float] = time.time,
    sealer: Seals = CLEAR,
) -> AsyncIterator[Serving]:
    metrics = Metrics(CollectorRegistry())
    limiter = ConnectionLimiter(limits, Senders(trusted), metrics)
    async with (
        open_producer(installation, metrics, sealer) as producer,
        Server(endpoints, producer, limiter, clock).serve(HOST, 0) as port,
        aiohttp.ClientSession(f"http://{HOST}:{port}") as client,
    ):
        yield Serving(client, port, metrics)


def signed(body: bytes) -> dict[str, Any]:
    return {"data": body, "headers": standard_webhooks(body, SECRET, time.time())}


async def records(installation: Installation, topic: str) -> list[Record]:
    return [record async for record in reading.committed_records(installation, topic)]


async def written(installation: Installation, topic: str) -> dict[str, list[Any]]:
    """The values under each key, in the order in which they were written."""
    found: dict[str, list[Any]] = {}
    for record in await records(installation, topic):
        found.setdefault((record.key or b"").decode(), []).append(json.loads(record.value or b""))
    return found
