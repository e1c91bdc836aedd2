"""Responses into the input topic: as signed webhooks through intake, or straight into Kafka as any producer does it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice

import aiohttp
from aiokafka import AIOKafkaProducer

from npsflow.agents.demo import sample
from npsflow.agents.demo.installation import DemoInstallation
from npsflow.agents.demo.lines import Fields, dump, key_of
from npsflow.agents.demo.sample import Line
from npsflow.agents.demo.webhooks import Webhook, webhook
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics

_CHUNK = 500
_CONNECTIONS = 16
_TRICKLE_EVERY = 0.2
_TRICKLE_SEED, _TRICKLE_COUNT = 11, 1_000_000


class Platforms:
    """Sends what survey platforms send to intake."""

    def __init__(self, here: DemoInstallation, client: aiohttp.ClientSession) -> None:
        self._here, self._client = here, client

    def webhook(self, line: Line) -> Webhook | None:
        """The webhook that carries this line, None where no platform would send it."""
        return webhook(line, self._here.intake.secret)

    async def send(self, made: Webhook) -> None:
        """Raises DemoFailed unless intake has it."""
        try:
            async with self._client.post(f"/in/{made.entrance}", data=made.body, headers=made.headers) as answer:
                if answer.status != 200:
                    raise DemoFailed(f"intake answered {answer.status}: {await answer.text()}")
        except aiohttp.ClientError as error:
            self._here.check()
            raise DemoFailed(f"intake does not answer: {type(error).__name__}") from error

    async def respond(self, fields: Fields) -> None:
        """One response."""
        made = self.webhook(Line(key_of(fields), dump(fields), "response"))
        assert made is not None
        await self.send(made)


@asynccontextmanager
async def platforms(here: DemoInstallation) -> AsyncIterator[Platforms]:
    """Platforms with connections to intake."""
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(here.intake.url, connector=connector) as client:
        yield Platforms(here, client)


async def send(producer: AIOKafkaProducer, here: DemoInstallation, lines: Iterable[Line]) -> int:
    """Produce the lines under their keys; gives how many, once all are acknowledged."""
    topic, sent, lines = here.installation.topic(topics.RESPONSES), 0, iter(lines)
    while chunk := list(islice(lines, _CHUNK)):
        await asyncio.gather(*[await producer.send(topic, line.value, line.key) for line in chunk])
        sent += len(chunk)
    return sent


async def feed(here: DemoInstallation, lines: Iterable[Line]) -> int:
    """The same with a producer of its own."""
    async with clients.producer(here.installation) as producer:
        return await send(producer, here, lines)


async def feed_webhooks(here: DemoInstallation, lines: Iterable[Line]) -> int:
    """Through intake, what no platform sends straight into Kafka; gives how many webhooks there were."""
    sent, lines = 0, iter(lines)
    async with platforms(here) as senders, clients.producer(here.installation) as producer:
        while chunk := list(islice(lines, _CHUNK)):
            made = [(line, senders.webhook(line)) for line in chunk]
            webhooks = [webhook for _, webhook in made if webhook is not None]
            await asyncio.gather(*map(senders.send, webhooks))
            await send(producer, here, [line for line, webhook in made if webhook is None])
            sent += len(webhooks)
    return sent


async def trickle(here: DemoInstallation) -> None:
    """Five responses a second, each given just now, until it is cancelled or a process ends by itself."""
    async with platforms(here) as senders:
        for line in sample.sample(_TRICKLE_SEED, _TRICKLE_COUNT, datetime.now(UTC)):
            if line.kind == "response" and line.value is not None:
                await senders.respond(codec.loads(line.value) | {"submitted_at": datetime.now(UTC).isoformat()})
                here.check()
                await asyncio.sleep(_TRICKLE_EVERY)
