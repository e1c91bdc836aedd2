"""Responses into the input topic, and waiting until the workers have dealt with all of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count, islice
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from npsflow.agents import kafka
from npsflow.agents.demo import reading, sample, show
from npsflow.agents.demo.installation import Installation
from npsflow.agents.demo.sample import Line
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.worker import client_settings
from npsflow.schemas import codec, topics
from npsflow.streams.partitioner import partition_of
from npsflow.streams.settings import Where
from npsflow.streams.transaction import Outputs

_CHUNK = 500
_SECONDS = 60.0
_POLL = 0.1
_TRICKLE_SEED = 11


class Lag(NamedTuple):
    """Records that are written and whose processing is not committed, of each stage."""

    classify: int
    rollup: int


async def send(producer: AIOKafkaProducer, here: Installation, lines: Iterable[Line]) -> int:
    """Produce the lines in chunks, as `npsflow produce` does; gives how many once all are acknowledged."""
    partitions, sent = here.settings.topics.partitions, 0
    lines = iter(lines)
    while chunk := list(islice(lines, _CHUNK)):
        outputs = Outputs(producer, here.where.prefix, int(time.time() * 1000))
        for number, line in enumerate(chunk):
            partition = number % partitions if line.key is None else partition_of(line.key, partitions)
            outputs.emit(topics.RESPONSES, partition, line.key, line.value, [])
        await kafka.deliver(producer, outputs)
        sent += len(chunk)
    return sent
