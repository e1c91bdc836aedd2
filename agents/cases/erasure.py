"""A customer is forgotten: recover is told to, and what the topics keep of that customer for a while is found out."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from npsflow.agents.cases.actions import send
from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import Topic
from npsflow.streams.classify import stored
from npsflow.streams.classify.stage import Classify
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.recovery.state import unpack_file
from npsflow.streams.stage import Record

REMEMBERED = topics.changelog(Classify.name, "remembered")
STATE = topics.changelog(Recover.name, "state")

_AGAIN = 0.2  # seconds until it is looked once more how far recover has read

READ = tuple(topic for topic in topics.ALL if topic.cleanup == "delete" and not topic.internal)
"""Topics that keep what they hold for a time: it cannot be taken out of them."""


class Kept(NamedTuple):
    """What a topic holds of a customer: so many records, the newest of which was appended then, in ms."""

    records: int
    newest: int


class Forgetting:
    """Works on one customer; `names`: all ids, as in `customer.id` of responses, and e-mail addresses."""

    def __init__(
        self, installation: Installation, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, names: Sequence[str]
    ) -> None:
        self._installation, self._admin, self._consumer, self._names = installation, admin, consumer, names
        self._partitions: dict[str, list[TopicPartition]] = {}

    async def by_recover(self, producer: AIOKafkaProducer, action: TeamAction, seconds: float) -> int:
        """Return when recover has read all there is and keeps nothing of the customer; how many cases it has removed.

        What classify has not read yet would become a case afterwards: that is waited for, too. What is not known any
        more is not asked for: the request itself holds the id. Raises KafkaFailed when they do not answer in time.
        """
        cases, waits_for = 0, Classify.name
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for waits_for, inputs in (Classify.name, Classify.inputs), (Recover.name, Recover.inputs):
                        await self._read_by(waits_for, inputs)
                    known, count = await self._known()
                    if not known:
                        return cases
                    cases = max(cases, count)
                    for name in known:
                        partition = partition_of(name.encode(), len(await self._of(topics.ACTIONS)))
                        await send(producer, self._installation, name, partition, action)
        except TimeoutError:
            raise clients.KafkaFailed(
                f"{waits_for} has not read all that there is within {seconds:g} s: is a worker running? `npsflow "
                "check` says more; nothing is lost by trying again"
            ) from None

    async def kept(self, topic: Topic, progress: clients.Progress) -> Kept:
        """What a topic holds that names the customer."""
        # A name as a word of its own, as it is and as JSON writes it; addresses in capitals, too.
        written = {(form, "@" in name) for name in self._names for form in (name.encode(), codec.encode(name)[1:-1])}
        words = [(b"(?i:%b)" if is_address else b"%b") % re.escape(form) for form, is_address in sorted(written)]
        pattern = re.compile(rb"(?<![A-Za-z0-9])(?:" + b"|".join(words) + rb")(?![A-Za-z0-9])")
        records = newest = 0
        async for record in self._all(topic.name, progress):
            texts = [record.key, record.value, *(value for _, value in record.headers)]
            if any(text is not None and pattern.search(_plain(text)) for text in texts):
                records, newest = records + 1, max(newest, record.timestamp)
        return Kept(records, newest)

    async def remembered(self, progress: clients.Progress) -> Kept:
        """What classify keeps to correct the customer's answers: `newest` is when one was submitted."""
        answers, keys = dict[bytes, int](), {name.encode() for name in self._names}
        async for record in self._all(REMEMBERED, progress):
            for id_, packed in stored.entries(record.value or b""):
                one = stored.unpack(packed)
                if one.key in keys:
                    answers[id_] = one.submitted
        return Kept(len(answers), max(answers.values(), default=0))

    async def _known(self) -> tuple[set[str], int]:
        """Under which names recover keeps anything, and the number of cases."""
        customers = {b"customer:" + name.encode(): name for name in self._names}
        keys = [b'"key":' + codec.encode(name) for name in self._names]
        standing: dict[bytes, str] = {}
        async for record in self._all(STATE, lambda read, total: None):
            key, value = record.key or b"", record.value or b""
            standing.pop(key, None)
            if value and key in customers:
                standing[key] = customers[key]
            elif key.startswith(b"case:") and any(part in value for part in keys):
                owner = unpack_file(value).case.key
                if owner in self._names:
                    standing[key] = owner
        return set(standing.values()), len(standing.keys() - customers.keys())

    async def _read_by(self, stage: str, inputs: Iterable[str]) -> None:
        """Return when a stage has read all that stands in its inputs now."""
        of = [tp for topic in inputs for tp in await self._of(topic)]
        ranges = await clients.offset_ranges(self._consumer, of)
        while True:
            read = await clients.committed_offsets(self._admin, self._installation.group(stage))
            if all(begin == end or _offset(read, tp) >= end for tp, (begin, end) in ranges.items()):
                return
            await asyncio.sleep(_AGAIN)

    async def _all(self, topic: str, progress: clients.Progress) -> AsyncIterator[Record]:
        async for record in clients.to_the_end(self._consumer, await self._of(topic), progress):
            yield record

    async def _of(self, topic: str) -> list[TopicPartition]:
        if topic not in self._partitions:
            self._partitions[topic] = await clients.partitions(self._installation, topic)
        return self._partitions[topic]


def _plain(text: bytes) -> bytes:
    r"""JSON without what may be escaped and need not be, as \u0041 or \/."""
    if b"\\" not in text:
        return text
    try:
        return codec.dumps(codec.loads(text))
    except codec.NotJson:
        return text


def _offset(committed: Mapping[TopicPartition, tuple[int, str]], tp: TopicPartition) -> int:
    return committed[tp][0] if tp in committed else -1
