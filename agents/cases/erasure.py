"""Erases a customer: by an action to recover, and by a count of what other topics keep for a while."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from npsflow.agents.cases.actions import send_action
from npsflow.agents.cases.persons import Mentions, Neighbours, Search, is_address
from npsflow.agents.kafka import reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.agents.sealing.fields import clear_fields
from npsflow.agents.sealing.keyring import Keyring
from npsflow.agents.sealing.table import alone, has_tokens, key_ids
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import Topic
from npsflow.streams.classify import stored
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import Sealing as SealingSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.recovery.state import unpack_case
from npsflow.streams.stage import Record

REMEMBERED_TOPIC = topics.changelog(Classify.name, "remembered")
STATE_TOPIC = topics.changelog(Recover.name, "state")

RETAINING_TOPICS = tuple(
    topic
    for topic in topics.ALL
    if topic.cleanup == "delete" and not topic.internal and topic.name != topics.SCORE_ALERTS  # which is of no customer
)
"""Topics that keep records for their retention: nothing can be taken out of them."""

Reading = Callable[[str], AbstractContextManager[reading.Progress]]
"""A bar with a label, for as long as a topic is read."""

_POLL_SECONDS = 0.2


class Retained(NamedTuple):
    """How many records of a customer a topic holds, and the time of the newest, in ms; `clear`: texts can be read."""

    records: int
    newest: int
    clear: int = 0


class Erasure:
    """Of one customer, who is given to each method by all `names`: ids as in `customer.id` of responses, addresses."""

    def __init__(
        self,
        installation: Installation,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        keyring: Keyring,
        sealing: SealingSettings,
    ) -> None:
        self._installation, self._admin, self._consumer, self._keyring = installation, admin, consumer, keyring
        self._attributes = sealing.attributes
        self._partitions: dict[str, list[TopicPartition]] = {}
        self.sealed = sealing.enabled
        """Whether there are keys, as far as is known: tokens were met, or can be."""
        self.shredded = 0
        """Keys that were deleted."""

    async def search(self, names: Set[str], progress: Reading) -> Search:
        """Look for the names in all that is kept."""
        search, by_address = Search(names), any(map(is_address, names))
        for topic in (*(topic.name for topic in RETAINING_TOPICS), STATE_TOPIC):
            with progress(topic) as moved:
                async for record in self._records(topic, moved, opened=False):
                    as_received = _is_nobodys(topic, record)
                    if by_address or as_received or search.mentioned_in(record):  # to open all takes long
                        search.see(await self._opened(record), as_received=as_received)
        if lacking := names - search.known:
            with progress(REMEMBERED_TOPIC) as moved:
                search.known |= {name for name in lacking if (await self.retained_by_classify([name], moved)).records}
        return search

    async def neighbours(self, progress: Reading) -> Neighbours:
        """All customers who are known."""
        neighbours = Neighbours()
        for topic in (*(topic.name for topic in RETAINING_TOPICS if topic.name != topics.DEAD_LETTERS), STATE_TOPIC):
            with progress(topic) as moved:
                async for record in self._records(topic, moved):
                    neighbours.see(record)
        return neighbours

    async def erase(self, found: Search, producer: RenewedProducer, action: TeamAction, seconds: float) -> int:
        """Send the action until recover keeps nothing of the customer; returns the number of cases it removed.

        `found`: a search for these names. The keys of the customer are deleted, and those of dead letters and of
        comments about a root cause that mention the customer.

        Waits until classify and recover have read their inputs: a response that is not read yet becomes a case later.
        Sends nothing about names that recover does not know, as the action itself holds the name. Raises KafkaFailed
        when that takes longer than `seconds`.
        """
        cases, stage, names = 0, Classify.name, found.names
        await self._shred(found)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for stage, inputs in (Classify.name, Classify.inputs), (Recover.name, Recover.inputs):
                        await self._wait_until_read(stage, inputs)
                    shredded = await self._shred(found)
                    known, count = await self._known_names(names)
                    if not known and not shredded:
                        return cases
                    cases = max(cases, count)
                    for name in known:
                        partition = partition_of(name.encode(), len(await self._partitions_of(topics.ACTIONS)))
                        await send_action(producer, self._installation, name, partition, action)
        except TimeoutError:
            raise KafkaFailed(
                f"{stage} has not read all that there is within {seconds:g} s: is a worker running? `npsflow "
                "check` says more; nothing is lost by trying again"
            ) from None

    async def _shred(self, found: Search) -> int:
        """Delete the keys that there are now; returns how many."""
        if not self.sealed:
            return 0
        shredded = await self._keyring.delete(found.names, await self._texts_about(found))
        self.shredded += shredded
        return shredded

    async def retained_in(self, topic: Topic, found: Search, progress: reading.Progress) -> Retained:
        """The records of a topic that name the customer; `newest` is when one was appended."""
        by_name, by_all = Mentions(found.names), found.mentions()
        records = newest = clear = 0
        async for record in self._records(topic.name, progress, opened=False):
            written = topic.name == topics.ACTIONS and _is_nobodys(topic.name, record)
            if (by_all if written else by_name).in_record(record):
                records, newest = records + 1, max(newest, record.timestamp)
                clear += self._is_clear(record)
        return Retained(records, newest, clear)

    def _is_clear(self, record: Record) -> bool:
        try:
            fields = codec.loads(record.value or b"{}")
        except codec.NotJson:
            return alone(record.value) is None
        return not isinstance(fields, dict) or bool(clear_fields(fields, self._attributes))

    async def _texts_about(self, found: Search) -> set[str]:
        """The ids of the keys of what is sealed, belongs to no customer, and mentions one of these."""
        mentions, keys = found.mentions(), set[str]()
        for topic in topics.DEAD_LETTERS, topics.ACTIONS:
            async for record in self._records(topic, lambda read, total: None, opened=False):
                own = _is_nobodys(topic, record) and (topic == topics.ACTIONS or alone(record.value) is not None)
                if own and has_tokens(record.value) and mentions.in_record(await self._opened(record)):
                    keys.update(key_ids(record.value or b""))
        return keys

    async def retained_by_classify(self, names: Collection[str], progress: reading.Progress) -> Retained:
        """The responses that classify keeps to correct them; `newest` is when one was submitted."""
        submitted, keys = dict[bytes, int](), {name.encode() for name in names}
        async for record in self._records(REMEMBERED_TOPIC, progress):
            for id_, packed in stored.entries(record.value or b""):
                response = stored.unpack(packed)
                if response.key in keys:
                    submitted[id_] = response.submitted
        return Retained(len(submitted), max(submitted.values(), default=0))

    async def _known_names(self, names: Collection[str]) -> tuple[set[str], int]:
        """The names under which recover keeps anything, and the number of cases."""
        customers = {b"customer:" + name.encode(): name for name in names}
        keys = [b'"key":' + codec.encode(name) for name in names]
        kept: dict[bytes, str] = {}
        async for record in self._records(STATE_TOPIC, lambda read, total: None):
            key, value = record.key or b"", record.value or b""
            kept.pop(key, None)
            if value and key in customers:
                kept[key] = customers[key]
            elif key.startswith(b"case:") and any(part in value for part in keys):
                owner = unpack_case(value).case.key
                if owner in names:
                    kept[key] = owner
        return set(kept.values()), len(kept.keys() - customers.keys())

    async def _wait_until_read(self, stage: str, inputs: Iterable[str]) -> None:
        """Return when a stage has read its inputs to where they end now."""
        partitions = [tp for topic in inputs for tp in await self._partitions_of(topic)]
        ranges = await reading.offset_ranges(self._consumer, partitions)
        while True:
            committed = await reading.committed_offsets(self._admin, self._installation.group(stage))
            if all(begin == end or _offset(committed, tp) >= end for tp, (begin, end) in ranges.items()):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _records(self, topic: str, progress: reading.Progress, *, opened: bool = True) -> AsyncIterator[Record]:
        async for record in reading.to_the_end(self._consumer, await self._partitions_of(topic), progress):
            self.sealed = self.sealed or has_tokens(record.value)
            yield await self._opened(record) if opened else record

    async def _opened(self, record: Record) -> Record:
        if record.value is None or not has_tokens(record.value):
            return record
        opened: Record = replace(record, value=await self._keyring.read(record.value))  # type: ignore[type-var]
        return opened

    async def _partitions_of(self, topic: str) -> list[TopicPartition]:
        if topic not in self._partitions:
            self._partitions[topic] = await reading.partitions(self._installation, topic)
        return self._partitions[topic]


def _is_nobodys(topic: str, record: Record) -> bool:
    """Whether it may be about anybody whom it mentions: what was refused, and comments about a root cause."""
    return topic == topics.DEAD_LETTERS or (topic == topics.ACTIONS and record.key is None)


def _offset(committed: Mapping[TopicPartition, tuple[int, str]], tp: TopicPartition) -> int:
    return committed[tp][0] if tp in committed else -1
