"""Intake on a real Kafka, for tests: the server, and what it has written."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from npsflow.agents import kafka
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.server import Server
from npsflow.agents.intake.turning import Entrance
from npsflow.streams import topics
from npsflow.streams.settings import Settings, Where
from npsflow.streams.stage import Record

Client = TestClient[Any, Any]


async def install(where: Where) -> None:
    async with kafka.admin(where) as admin:
        await topics.create(admin, topics.wanted(Settings(), where))


@asynccontextmanager
async def serving(
    where: Where,
    producer: AIOKafkaProducer,
    entrances: Mapping[str, Entrance],
    rate: float = 1e6,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Client]:
    server = Server(entrances, producer, where, 4, Metrics(CollectorRegistry()), rate, clock)
    async with TestClient(TestServer(server.app)) as client:
        yield client


async def records(where: Where, topic: str) -> list[Record]:
    return [record async for record in kafka.committed_records(where, topic)]


async def written(where: Where, topic: str) -> dict[str, list[Any]]:
    """The values under each key, in the order in which they were written."""
    found: dict[str, list[Any]] = {}
    for record in await records(where, topic):
        found.setdefault((record.key or b"").decode(), []).append(json.loads(record.value or b""))
    return found
