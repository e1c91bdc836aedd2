"""Responses into the input topic."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

from aiokafka import AIOKafkaProducer

from npsflow.agents import kafka
from npsflow.agents.demo import sample
from npsflow.agents.demo.installation import Installation
from npsflow.agents.demo.lines import dump, key_of
from npsflow.agents.demo.sample import Line
from npsflow.schemas import codec, topics

_CHUNK = 500
_TRICKLE_EVERY = 0.2
_TRICKLE_SEED, _TRICKLE_COUNT = 11, 1_000_000


async def send(producer: AIOKafkaProducer, here: Installation, lines: Iterable[Line]) -> int:
    """Produce the lines under their keys; gives how many, once all are acknowledged."""
    topic, sent, lines = here.where.topic(topics.RESPONSES), 0, iter(lines)
    while chunk := list(islice(lines, _CHUNK)):
        await asyncio.gather(*[await producer.send(topic, line.value, line.key) for line in chunk])
        sent += len(chunk)
    return sent


async def feed(here: Installation, lines: Iterable[Line]) -> int:
    """The same with a producer of its own."""
    async with kafka.producer(here.where) as producer:
        return await send(producer, here, lines)


async def trickle(here: Installation) -> None:
    """Five responses a second, each given just now, until it is cancelled or a worker ends by itself."""
    async with kafka.producer(here.where) as producer:
        for line in sample.sample(_TRICKLE_SEED, _TRICKLE_COUNT, datetime.now(UTC)):
            if line.kind == "response" and line.value is not None:
                fields = codec.loads(line.value) | {"submitted_at": datetime.now(UTC).isoformat()}
                await send(producer, here, [Line(key_of(fields), dump(fields), line.kind)])
                here.check()
                await asyncio.sleep(_TRICKLE_EVERY)
