"""`npsflow dlq`: the dead letters, sending them once more, and letting a paused partition go on."""

import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, nullcontext
from typing import NamedTuple, get_args

import click
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec.structs import replace

from npsflow.agents.intake.delivery import Delivery, TurnedDown
from npsflow.agents.intake.entrance import unsigned
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.runtime.terminal import one_line
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import Reason
from npsflow.schemas.fetch import decode_fetch
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.config.settings import load
from npsflow.streams.engine.admin import partition_counts
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.stage import Output, Record

_HEADER = "npsflow_dlq_"
_GROUP = "dlq-replay"
_ACCEPTED = "dlq-accept"  # see Source, which reads it
_CHUNK = 1000

Sent = tuple[str, bytes | None, bytes | None, Headers]

_of_reason = click.option("--reason", type=click.Choice(get_args(Reason)), help="Only those refused for this reason.")


@click.group()
def dlq() -> None:
    """List, replay or accept dead letters: records that could not be accepted."""


@dlq.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_of_reason
def list_letters(as_json: bool, reason: str | None) -> None:
    """Show why, from which platform, where and when each was refused, oldest first; never its content."""
    clients.run(_list(read_installation(), as_json, reason))


@dlq.command()
@_of_reason
@click.option("--dry-run", is_flag=True, help="Only say how many would be sent.")
@click.option("--again", is_flag=True, help="Send those as well that an earlier replay has sent.")
def replay(reason: str | None, dry_run: bool, again: bool) -> None:
    """Send dead letters to the topic they came from, as they were, after what refused them has been mended.

    What was replayed is not sent by a later replay. Whatever is refused once more comes back as a new dead letter.
    """
    clients.run(_replay(read_installation(), reason, dry_run, again))


@dlq.command()
def accept() -> None:
    """Let partitions go on that stopped because most of their records were refused (`dead_letters.pause`)."""
    clients.run(_accept(read_installation()))


class Letter(NamedTuple):
    """A dead letter. `why`: its npsflow_dlq_* headers without that prefix; `headers`: those it was produced with."""

    record: Record
    why: dict[str, str]
    headers: Headers

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


async def _letters(records: AsyncIterator[Record], reason: str | None) -> AsyncIterator[Letter]:
    async for record in records:
        why = {n.removeprefix(_HEADER): v.decode() for n, v in record.headers if n.startswith(_HEADER)}
        if "reason" in why and reason in (None, why["reason"]):
            own = [(n, v) for n, v in record.headers if n != ORIGIN and not n.startswith(_HEADER)]
            yield Letter(record, why, own)


async def _list(installation: Installation, as_json: bool, reason: str | None) -> None:
    reasons: Counter[str] = Counter()
    async with aclosing(reading.committed_records(installation, topics.DEAD_LETTERS)) as records:
        async for _, why, _ in _letters(records, reason):
            reasons[why["reason"]] += 1
            if as_json:
                numbers = {name: int(why[name]) for name in ("partition", "offset")}
                click.echo(codec.dumps(why | numbers))
            else:
                place = f"{why['topic']}[{why['partition']}]@{why['offset']}"
                source = one_line(why.get("source", "-"), 20)
                click.echo(f"{why['at']}  {why['reason']:<18}  {source:<14}  {place:<26}  {why['message']}")
    if not as_json:
        click.echo("\n".join(f"{n:>8} {name}" for name, n in reasons.most_common()) or "no dead letters")


class Replayed:
    """What of one partition of the dead letters has been replayed: all before `offset`, and some reasons further.

    Kept as the committed offset of a group and its metadata. Kafka forgets those of a group at rest after seven days
    unless told otherwise; what is then sent twice is only counted as repeated, or refused again.
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
        return OffsetAndMetadata(self.offset, codec.dumps(self.further).decode() if self.further else "")


async def _replay(installation: Installation, reason: str | None, dry_run: bool, again: bool) -> None:
    group = installation.group(_GROUP)
    reasons: Counter[str] = Counter()
    async with nullcontext() if dry_run else clients.producer(installation, transactional_id=group) as producer:
        # Offsets are read after the producer has started, which ends whatever an earlier replay left open.
        async with clients.admin(installation) as client:
            counts = await partition_counts(client)
            committed = await reading.committed_offsets(client, group)
        replayed = defaultdict(Replayed, {tp: Replayed(offset) for tp, offset in committed.items()})
        async with aclosing(reading.committed_records(installation, topics.DEAD_LETTERS)) as records:
            letters = _letters(records, reason)
            due = (letter async for letter in letters if again or letter not in replayed[letter.partition])
            async for chunk in _chunks(due):
                for letter in chunk:
                    replayed[letter.partition].advance(letter.record.offset + 1, reason)
                if producer is not None:
                    offsets = {letter.partition: replayed[letter.partition].committed() for letter in chunk}
                    async with producer.transaction():
                        await clients.deliver(producer, _as_produced(producer, installation, chunk, counts))
                        await producer.send_offsets_to_transaction(offsets, group)
                reasons.update(letter.why["reason"] for letter in chunk)
                if sys.stderr.isatty():
                    click.echo(f"\r{reasons.total():,} read", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo("\n".join(f"{n:>8} {name}" for name, n in reasons.most_common()) or "nothing to replay")
    click.echo(f"{reasons.total()} dead letters {'would be ' if dry_run else ''}sent back")


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
        for topic, key, value, headers in _SENT_FOR.get(letter.why["reason"], _as_it_was)(letter):
            count = counts.get(installation.topic(topic))
            if count is None:
                raise KafkaFailed(f"topic {installation.topic(topic)}, where a dead letter came from, does not exist")
            partition = int(letter.why["partition"]) % count if key is None else partition_of(key, count)
            outputs.emit(Output(topic, partition, key, value, headers))
    return outputs


def _as_it_was(letter: Letter) -> list[Sent]:
    """To the topic where it came from."""
    return [(letter.why["topic"], letter.record.key, letter.record.value, letter.headers)]


def _from_the_start(letter: Letter) -> list[Sent]:
    """A fetch that was given up: it is tried at once, and as often as a new one."""
    fetch = replace(decode_fetch(letter.record.value or b""), attempts=0, not_before=0)
    return [(letter.why["topic"], fetch.key(), codec.dumps(fetch), letter.headers)]


def _as_mapped_now(letter: Letter) -> list[Sent]:
    """A webhook that was not understood: what it becomes now, or the same dead letter."""
    record, why, _ = letter
    entrance = unsigned(load().intake, os.environ).get(why["topic"].removeprefix("intake/"))
    try:
        if entrance is not None:
            made = entrance.records(Delivery({}, record.value or b""), time.time())
            return [(topic, key, value, []) for topic, key, value in made]
    except (TurnedDown, Unmapped):
        pass  # the mapping is still not the right one
    return [(topics.DEAD_LETTERS, record.key, record.value, list(record.headers))]


_SENT_FOR = {"unmapped": _as_mapped_now, "unfetched": _from_the_start}
"""By reason; whatever was refused for another is sent as it was."""


async def _accept(installation: Installation) -> None:
    """Commit, in the group that paused workers look at, how far dead letters are accepted: as far as was read."""
    async with clients.admin(installation) as client:
        read = await reading.committed_offsets(client, installation.group("classify"))
    if not read:
        raise KafkaFailed("nothing was read yet: there is nothing to accept")
    async with clients.reader(installation, group=installation.group(_ACCEPTED)) as consumer:
        consumer.assign(list(read))
        await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, (offset, _) in read.items()})
    click.echo(f"accepted what was refused so far in {len(read)} partitions: paused ones go on within a second")
