"""Dead letters: reading them, sending them once more, and letting a paused partition go on."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, nullcontext
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec.structs import replace

from npsflow.agents.intake.endpoint import kept_delivery, unsigned
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.platforms.protocol import Rejected
from npsflow.schemas import codec, topics
from npsflow.schemas.fetch import decode_fetch
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.streams.config.settings import load
from npsflow.streams.engine.admin import partition_counts
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.stage import Record

_HEADER = "npsflow_dlq_"
_GROUP = "dlq-replay"
_ACCEPTED = "dlq-accept"  # see Source, which reads it
_CHUNK = 1000


class Letter(NamedTuple):
    """A dead letter. `why`: its npsflow_dlq_* headers without that prefix; `headers`: those it was produced with."""

    record: Record
    why: dict[str, str]
    headers: Headers

    @property
    def partition(self) -> TopicPartition:
        """Where it is on the topic of the dead letters."""
        return TopicPartition(self.record.topic, self.record.partition)


async def letters(installation: Installation, reason: str | None) -> AsyncGenerator[Letter, None]:
    """All dead letters, or those refused for one reason, oldest first. Raises KafkaFailed."""
    async with aclosing(reading.committed_records(installation, topics.DEAD_LETTERS)) as records:
        async for record in records:
            why = {n.removeprefix(_HEADER): v.decode() for n, v in record.headers if n.startswith(_HEADER)}
            if "reason" in why and reason in (None, why["reason"]):
                own = [(n, v) for n, v in record.headers if n != ORIGIN and not n.startswith(_HEADER)]
                yield Letter(record, why, own)


class Replayed:
    """What of one partition of the dead letters has been replayed: all before `offset`, and some reasons further.

    Kept as the committed offset of a group and its metadata. By default Kafka forgets those of a group at rest after
    seven days; what is then sent twice is only counted as repeated, or refused again.
    """

    def __init__(self, committed: OffsetAndMetadata | None = None) -> None:
        self.offset: int = committed.offset if committed else 0
        self.further: dict[str, int] = codec.loads(committed.metadata) if committed and committed.metadata else {}

    def __contains__(self, letter: Letter) -> bool:
        return letter.record.offset < max(self.offset, self.further.get(letter.why["reason"], 0))

    def advance(self, offset: int, reason: str | None) -> None:
        """All before `offset` has been replayed, or what was refused for one reason."""
        if reason is None:
            self.offset = max(self.offset, offset)
        else:
            self.further[reason] = max(self.further.get(reason, 0), offset)
        self.further = {r: o for r, o in self.further.items() if o > self.offset}

    def committed(self) -> OffsetAndMetadata:
        """What to commit, so that the next replay begins from here."""
        return OffsetAndMetadata(self.offset, codec.dumps(self.further).decode() if self.further else "")


async def replay(
    installation: Installation, reason: str | None, *, dry_run: bool, again: bool, progress: Callable[[int], None]
) -> Counter[str]:
    """Send dead letters to the topics they came from; gives how many there were of each reason.

    `dry_run` only counts them; `again` takes those as well that an earlier replay has sent. `progress` is called with
    how many were sent. Raises KafkaFailed.
    """
    group = installation.group(_GROUP)
    reasons: Counter[str] = Counter()
    async with nullcontext() if dry_run else clients.producer(installation, transactional_id=group) as producer:
        # Offsets are read after the producer has started, which ends whatever an earlier replay left open.
        async with clients.admin(installation) as client:
            counts = await partition_counts(client)
            committed = await reading.committed_offsets(client, group)
        replayed = defaultdict(Replayed, {tp: Replayed(offset) for tp, offset in committed.items()})
        async with aclosing(letters(installation, reason)) as found:
            due = (letter async for letter in found if again or letter not in replayed[letter.partition])
            async for chunk in _chunks(due):
                for letter in chunk:
                    replayed[letter.partition].advance(letter.record.offset + 1, reason)
                if producer is not None:
                    offsets = {letter.partition: replayed[letter.partition].committed() for letter in chunk}
                    async with producer.transaction():
                        await clients.deliver(producer, _as_produced(producer, installation, chunk, counts))
                        await producer.send_offsets_to_transaction(offsets, group)
                reasons.update(letter.why["reason"] for letter in chunk)
                progress(reasons.total())
    return reasons


async def _chunks(letters: AsyncIterator[Letter]) -> AsyncIterator[list[Letter]]:
    chunk: list[Letter] = []
    async for letter in letters:
        chunk.append(letter)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _as_produced(
    producer: AIOKafkaProducer, installation: Installation, letters: Iterable[Letter], counts: Mapping[str, int]
) -> Outputs:
    """To the partitions that Kafka's default partitioner gives."""
    outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
    for letter in letters:
        for record in _RECORDS.get(letter.why["reason"], _unchanged)(letter):
            count = counts.get(installation.topic(record.topic))
            if count is None:
                name = installation.topic(record.topic)
                raise KafkaFailed(f"topic {name}, where a dead letter came from, does not exist")
            output = record.output(count)
            if record.key is None:
                output = output._replace(partition=int(letter.why["partition"]) % count)
            outputs.emit(output)
    return outputs


def _unchanged(letter: Letter) -> list[KeyedRecord]:
    """As it was, to the topic where it came from."""
    return [KeyedRecord(letter.why["topic"], letter.record.key, letter.record.value, letter.headers)]


def _anew(letter: Letter) -> list[KeyedRecord]:
    """A fetch that was given up, as a new one: it is tried at once, and as often."""
    fetch = replace(decode_fetch(letter.record.value or b""), attempts=0, not_before=0)
    return [KeyedRecord(letter.why["topic"], fetch.key(), codec.dumps(fetch), letter.headers)]


def _as_mapped_now(letter: Letter) -> list[KeyedRecord]:
    """A webhook that was not understood: what it becomes now, or the same dead letter."""
    record, why, headers = letter
    endpoint = unsigned(load(), os.environ).get(why["topic"].removeprefix("intake/"))
    try:
        if endpoint is not None:
            return list(endpoint.records(kept_delivery(record.value or b"", headers), time.time()))
    except (Rejected, Unmapped):
        pass  # the mapping is still not the right one
    return [KeyedRecord(topics.DEAD_LETTERS, record.key, record.value, list(record.headers))]


_RECORDS = {"unmapped": _as_mapped_now, "unfetched": _anew}
"""By reason; whatever was refused for another is sent as it was."""


async def accept(installation: Installation) -> int:
    """Accept what was refused so far, in every partition that was read; gives their number. Raises KafkaFailed.

    What is accepted is committed in the group that paused workers look at.
    """
    async with clients.admin(installation) as client:
        read = await reading.committed_offsets(client, installation.group("classify"))
    if not read:
        raise KafkaFailed("nothing was read yet: there is nothing to accept")
    async with clients.reader(installation, group=installation.group(_ACCEPTED)) as consumer:
        consumer.assign(list(read))
        await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, (offset, _) in read.items()})
    return len(read)
