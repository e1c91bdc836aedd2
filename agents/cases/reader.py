"""`recovery-cases` in memory: read to its end once, and followed from there by those who wait for something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import Entry
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery import case_index
from npsflow.streams.recovery.case_index import Cases

_AT_ONCE = 500  # cases


class CaseReader:
    """The cases as they stand; `ready` once all that stood there at the start was read."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.cases = Cases()
        self.ready = False
        self._consumer = consumer
        self._changed = asyncio.Condition()

    async def load(self, of: list[TopicPartition], progress: clients.Progress | None = None) -> None:
        """Read to the end. Of a case that stands there more than once only the last is looked at."""
        latest: dict[bytes, tuple[int, bytes | None]] = {}
        async for record in clients.to_the_end(self._consumer, of, progress):
            latest[record.key or b""] = record.partition, record.value
        for number, (key, (partition, value)) in enumerate(latest.items()):
            self._take(partition, key, value)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # with many cases others want to know meanwhile whether this process lives
        self.ready = True

    async def step(self) -> None:
        """Take what is new; wait a second for it."""
        fetched = await self._consumer.getmany(timeout_ms=1000)
        for record in chain.from_iterable(fetched.values()):
            self._take(record.partition, record.key, record.value)
        if fetched:
            async with self._changed:
                self._changed.notify_all()

    async def follow(self, of: list[TopicPartition]) -> NoReturn:
        """Read to the end, then take what is new, for ever."""
        await self.load(of)
        while True:
            await self.step()

    def _take(self, partition: int, key: bytes, value: bytes | None) -> None:
        try:
            self.cases.take(partition, key, value)
        except codec.Undecodable:
            name = key.decode(errors="replace")
            raise clients.KafkaFailed(
                f"{topics.CASES}, partition {partition}: {name} is no case that this version of npsflow can read: use "
                "the version of the workers"
            ) from None

    async def answered(self, case_id: str, action_id: str) -> Entry:
        """Wait until the case has heard of an action, while somebody follows; what came of it."""
        async with self._changed:
            while (entry := self.answer(case_id, action_id)) is None:
                await self._changed.wait()
        return entry

    def answer(self, case_id: str, action_id: str) -> Entry | None:
        one = self.cases.find(case_id)
        return None if one is None else case_index.answer(one.file().case, action_id)


@asynccontextmanager
async def casebook(installation: Installation, progress: clients.Progress | None = None) -> AsyncIterator[CaseReader]:
    """One that has been read to its end. Raises KafkaFailed."""
    of = await clients.partitions(installation, topics.CASES)
    async with clients.reader(installation) as consumer:
        book = CaseReader(consumer)
        await book.load(of, progress)
        yield book
