"""`recovery-cases` in memory: read to its end once, then kept up to date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import NoReturn

from aiokafka import TopicPartition

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.diagnosis import NotSetUp
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer, renewed_consumer
from npsflow.agents.sealing.keyring import Keyring
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import Entry
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.contact import Contact
from npsflow.streams.recovery.case import find_entry
from npsflow.streams.recovery.case_index import CaseIndex

_YIELD_EVERY = 500  # cases


class CaseReader:
    """All cases, from these partitions of `recovery-cases`; `ready` once they are read to their end.

    `keyring`: opens what is sealed in them, when it is looked at.
    """

    def __init__(self, consumer: RenewedConsumer, partitions: list[TopicPartition], keyring: Keyring) -> None:
        self.cases = CaseIndex(keyring.open)
        self.ready = False
        self.contact = Contact(consumer, partitions[0].topic)
        self._consumer, self._partitions, self._keyring = consumer, partitions, keyring
        self._changed = asyncio.Condition()

    async def load(self, progress: reading.Progress | None = None) -> None:
        """Read to the end; only the last record of each case is decoded.

        Raises KafkaError, and KafkaFailed for a case of another version of npsflow.
        """
        latest: dict[bytes, tuple[int, bytes]] = {}
        async for records in reading.batches_to_the_end(self._consumer, self._partitions, progress):
            for record in records:
                latest.pop(record.key or b"", None)
                if record.key is not None and record.value is not None:
                    latest[record.key] = record.partition, record.value
        await self._keyring.prepare(*(value for _, value in latest.values()))
        for number, (key, (partition, value)) in enumerate(latest.items()):
            self._apply(partition, key, value)
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)  # health checks are answered while many cases are decoded
        self.ready = True

    async def poll(self) -> None:
        """Take new records; wait a second at most if there are none. Raises as `load`."""
        fetched = await self._consumer.getmany(timeout_ms=1000)
        records = [*chain.from_iterable(fetched.values())]
        await self._keyring.prepare(*(record.value for record in records))
        for record in records:
            self._apply(record.partition, record.key, record.value)
        if fetched:
            async with self._changed:
                self._changed.notify_all()

    async def follow(self) -> NoReturn:
        """Load, then poll until cancelled. Raises as `load`."""
        await self.load()
        while True:
            await self.poll()

    async def wait_for_outcome(self, case_id: str, action_id: str) -> Entry:
        """The entry in a case's history that an action makes, once it is there; `follow` has to run meanwhile."""
        async with self._changed:
            while (entry := self.outcome(case_id, action_id)) is None:
                await self._changed.wait()
        return entry

    def outcome(self, case_id: str, action_id: str) -> Entry | None:
        """The entry in a case's history that an action made, None so far."""
        listed = self.cases.find(case_id)
        return None if listed is None else find_entry(listed.record().case, action_id)

    def _apply(self, partition: int, key: bytes, value: bytes | None) -> None:
        try:
            self.cases.update(partition, key, value)
        except codec.Undecodable:
            case_id = key.decode(errors="replace")
            raise NotSetUp(
                f"{topics.CASES}, partition {partition}: {case_id} is no case that this version of npsflow can read: "
                "use the version of the workers"
            ) from None


@asynccontextmanager
async def load_cases(
    installation: Installation, keyring: Keyring, progress: reading.Progress | None = None
) -> AsyncIterator[CaseReader]:
    """A reader with a consumer of its own, loaded. Raises as `CaseReader.load`."""
    partitions = await reading.partitions(installation, topics.CASES)
    async with renewed_consumer(installation) as consumer:
        reader = CaseReader(consumer, partitions, keyring)
        await reader.load(progress)
        yield reader
