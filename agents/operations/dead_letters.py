"""Dead letters: reading them, what became of each, and letting a paused partition go on."""

import re
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from aiokafka.structs import OffsetAndMetadata

from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.sealing.keyring import Keyring, open_keyring
from npsflow.agents.sealing.table import alone
from npsflow.schemas import codec, topics
from npsflow.schemas.dlq_log import DlqLogEntry, accepted_key, accepted_partition, decode_entry
from npsflow.schemas.headers import LETTER, ORIGIN, Headers
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output, Record

_HEADER = "npsflow_dlq_"
LETTER_ID = re.compile(r"\d+-\d+")
_ALWAYS = {"reason", "message", "topic", "partition", "offset", "at"}
_ACCEPTED = "dlq-accept"  # see Source, which reads it

State = Literal["open", "replayed", "accepted", "refused_again"]
"""What became of a letter. `refused_again`: it was replayed, and what was sent is a new letter."""

_HELP = {
    "unknown_scale": "give the scale its thresholds in [[scales]], or mend the value",
    "too_late": "raise horizon_days, or mend the value",
    "in_the_future": "set the clock of who sent it, and `message.timestamp.type` of the topic, then replay it",
    "unmapped": "map its form in [intake.NAME]",
    "unfetched": "look at the platform's token, then replay it",
    "internal_error": "report it, and replay it after an update",
}


def help_for(reason: str) -> str:
    """What an operator can do about letters that were refused for this reason."""
    return _HELP.get(reason, "mend the value: npsflow dlq replay --file FILE")


class Letter(NamedTuple):
    """A dead letter. `why`: its npsflow_dlq_* headers without that prefix; `headers`: those it was produced with."""

    record: Record
    why: Mapping[str, str]
    headers: Headers

    @property
    def id(self) -> str:
        """Its place on the topic of the dead letters, `partition-offset`."""
        return f"{self.record.partition}-{self.record.offset}"

    @property
    def key(self) -> str | None:
        """The key as text; None where there is none that can be read."""
        return _text(self.record.key)

    @property
    def response(self) -> tuple[str, str] | None:
        """Source and id of the response that was refused, by its value or else its key; None if neither says it."""
        if self.why["topic"] != topics.RESPONSES:
            return None
        try:
            fields = codec.loads_lenient(self.record.value or b"")
        except codec.NotJson:
            fields = None
        if (named := named_response(fields)) is not None:
            return named
        source, slash, response_id = (self.key or "").partition("/")
        return (source, response_id) if source and slash and response_id else None

    @property
    def source(self) -> str | None:
        """The platform, where it can be read."""
        response = self.response
        return self.why.get("source") or (response and response[0])

    @property
    def predecessors(self) -> list[str]:
        """The ids of the letters whose replay was refused as this one."""
        return self.why.get("letter", "").split()


def named_response(fields: Any) -> tuple[str, str] | None:
    """The source and response_id that a JSON value names."""
    if not isinstance(fields, dict):
        return None
    source, response_id = fields.get("source"), fields.get("response_id")
    if isinstance(source, str) and isinstance(response_id, str) and source and response_id:
        return source, response_id
    return None


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


class Selection(NamedTuple):
    """Which letters: those that fit all that is not None. `since`: written at that time (ms) or later."""

    reason: str | None = None
    source: str | None = None
    ids: frozenset[str] | None = None
    since: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is one of them."""
        return (
            self.reason in (None, letter.why["reason"])
            and (self.source is None or self.source == letter.source)
            and (self.ids is None or letter.id in self.ids)
            and (self.since is None or letter.record.timestamp >= self.since)
        )


_ALL = Selection()


async def letters(installation: Installation, selection: Selection = _ALL) -> AsyncGenerator[Letter, None]:
    """The selected dead letters, oldest first. Raises KafkaFailed.

    Those that are sealed as a whole are opened; texts that are sealed in them stay so.
    """
    read = reading.committed_records(installation, topics.DEAD_LETTERS)
    async with open_keyring(installation) as keyring, aclosing(read) as records:
        async for record in records:
            letter = as_letter(await opened_whole(record, keyring), installation.prefix)
            if letter is not None and selection.takes(letter):
                yield letter


async def opened_whole(record: Record, keyring: Keyring) -> Record:
    """The record, with its value opened if that is nothing but a token."""
    if record.value is None or alone(record.value) is None:
        return record
    opened: Record = replace(record, value=await keyring.read(record.value))  # type: ignore[type-var]
    return opened


def as_letter(record: Record, prefix: str) -> Letter | None:
    """The letter that a record of the topic is, in an installation of this prefix; None if it says no reason."""
    why = {
        n.removeprefix(_HEADER): (v or b"").decode(errors="replace") for n, v in record.headers if n.startswith(_HEADER)
    }
    if not why.keys() >= _ALWAYS:
        return None
    why["topic"] = why["topic"].removeprefix(prefix)
    own = [(n, v) for n, v in record.headers if n != ORIGIN and not n.startswith(_HEADER)]
    return Letter(record, why, own)


@dataclass
class History:
    """What was done with letters.

    `replayed`: when (RFC 3339), by letter. `accepted`: by partition of `survey-responses`, the first offset that is not
    accepted. `refused_as`: the letter that each became when it was refused again.
    """

    replayed: dict[str, str] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    refused_as: dict[str, str] = field(default_factory=dict)

    def add(self, key: bytes, entry: DlqLogEntry) -> None:
        """Take in one record of `dlq-log`."""
        partition = accepted_partition(key)
        if partition is None:
            self.replayed[key.decode()] = entry.at
        else:
            self.accepted[partition] = max(entry.before, self.accepted.get(partition, 0))

    def state(self, letter: Letter) -> State:
        """What became of a letter."""
        if letter.id in self.refused_as:
            return "refused_again"
        if letter.id in self.replayed:
            return "replayed"
        accepted_before = self.accepted.get(int(letter.why["partition"]), 0)
        accepted = letter.why["topic"] == topics.RESPONSES and int(letter.why["offset"]) < accepted_before
        return "accepted" if accepted else "open"


async def log(installation: Installation) -> History:
    """What `dlq-log` says. It does not say what was refused again. Raises KafkaFailed."""
    history = History()
    async with aclosing(reading.committed_records(installation, topics.DLQ_LOG)) as records:
        async for record in records:
            history.add(record.key or b"", decode_entry(record.value or b""))
    return history


async def complete_history(installation: Installation) -> History:
    """The same, and what was refused again: that takes one pass over all letters. Raises KafkaFailed."""
    history = await log(installation)
    if history.replayed:
        async with aclosing(letters(installation)) as found:
            async for letter in found:
                history.refused_as.update(dict.fromkeys(letter.predecessors, letter.id))
    return history


def replay_headers(letters: Iterable[Letter], own: Headers) -> Headers:
    """The headers of a replayed record: its own, and which letters it was made of."""
    return [*own, (LETTER, " ".join(letter.id for letter in letters).encode())]


def log_output(key: bytes, entry: DlqLogEntry, partitions: int) -> Output:
    """A record of `dlq-log`, a topic of so many partitions."""
    return Output(topics.DLQ_LOG, partition_of(key, partitions), key, codec.dumps(entry), [])


async def accept(installation: Installation) -> int:
    """Accept what was refused so far, in every partition that was read; gives their number. Raises KafkaFailed.

    What is accepted is committed in the group that paused workers look at. Kafka forgets that in time: `dlq-log` keeps
    it for those who ask what became of a letter.
    """
    async with clients.admin(installation) as client:
        read = await reading.committed_offsets(client, installation.group("classify"))
    count, now = len(await reading.partitions(installation, topics.DLQ_LOG)), int(time.time() * 1000)
    if not read:
        raise KafkaFailed("nothing was read yet: there is nothing to accept")
    async with clients.reader(installation, group=installation.group(_ACCEPTED)) as consumer:
        consumer.assign(list(read))
        await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, (offset, _) in read.items()})
    async with clients.producer(installation) as producer:
        outputs = Outputs(producer, installation.prefix, now)
        for tp, (offset, _) in read.items():
            outputs.emit(log_output(accepted_key(tp.partition), DlqLogEntry(rfc3339(now), offset), count))
        await clients.deliver(producer, outputs)
    return len(read)
